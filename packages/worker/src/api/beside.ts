import { ApiError } from '@opencomputer/protocol';
import type { Machine } from '../machine/machine.ts';

type Gated = Pick<Machine, 'gate'>;

/**
 * Makes a call that changes of the machine do not wait for. It does not begin during a change; one that a change cuts
 * off is made again afterwards.
 * @param running finds the running machine, and throws when there is none
 */
export async function beside<M extends Gated, Result>(
  running: () => M,
  attempt: (machine: M) => Promise<Result>,
): Promise<Result> {
  for (;;) {
    // The change that this waits for may put another machine in its place.
    const machine = running();
    if (!machine.gate.isOpen) {
      await machine.gate.waitOpen();
      // No await between this check and the call, or the next change could begin in between.
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
