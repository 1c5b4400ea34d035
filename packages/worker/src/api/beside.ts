import { ApiError } from '@opencomputer/protocol';
import type { Machine } from '../machine/machine.ts';

type Gated = Pick<Machine, 'gate'>;

/**
 * Makes a call that changes of the machine's life do not wait for. It does not begin in the middle of one; what one
 * cuts off is made again after it.
 * @param running finds the machine, and throws when there is none
 */
export async function beside<M extends Gated, Result>(
  running: () => M,
  attempt: (machine: M) => Promise<Result>,
): Promise<Result> {
  for (;;) {
    // The change that it waits for may put another in its place.
    const machine = running();
    if (!machine.gate.isOpen) {
      await machine.gate.waitOpen();
      // The next change may have begun since: nothing may come between the last look and the call.
      continue;
    }
    const { closings } = machine.gate;
    try {
      return await attempt(machine);
    } catch (error) {
      const cutOff = error instanceof ApiError && error.code === 'guest_failed';
      if (!cutOff || machine.gate.closings === closings) throw error;
    }
  }
}
