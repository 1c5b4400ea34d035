import { ApiError, type MachineInfo } from '@opencomputer/protocol';
import type { GuestChannel } from '../guest/index.ts';
import type { Machine } from './machine.ts';
import { machineEnded, machineInfo } from './machine.ts';
import type { MachineRecord } from './record.ts';

/** A machine of which nothing runs. Its disk is kept. */
export interface RestingMachine {
  record: MachineRecord;
  state: 'hibernated' | 'failed';
  /** Why it failed. */
  reason: string | undefined;
}

/** What machines this host has, running or at rest. */
export class MachineRegistry {
  readonly #running = new Map<string, Machine>();
  readonly #resting = new Map<string, RestingMachine>();

  setRunning(machine: Machine): void {
    this.#resting.delete(machine.id);
    this.#running.set(machine.id, machine);
  }

  setResting(resting: RestingMachine): void {
    this.#running.delete(resting.record.id);
    this.#resting.set(resting.record.id, resting);
  }

  remove(id: string): void {
    this.#running.delete(id);
    this.#resting.delete(id);
  }

  findRunning(id: string): Machine | undefined {
    return this.#running.get(id);
  }

  findResting(id: string): RestingMachine | undefined {
    return this.#resting.get(id);
  }

  record(id: string): MachineRecord | undefined {
    return this.#running.get(id)?.record ?? this.#resting.get(id)?.record;
  }

  allRunning(): Machine[] {
    return [...this.#running.values()];
  }

  list(): MachineInfo[] {
    return [
      ...this.#running.values().map((machine) => machine.info()),
      ...this.#resting.values().map(restingInfo),
    ];
  }

  /** @throws ApiError `sandbox_not_found` */
  info(id: string): MachineInfo {
    const resting = this.#resting.get(id);
    if (resting !== undefined) return restingInfo(resting);
    return this.running(id).info();
  }

  /** A machine that takes operations. @throws ApiError `sandbox_not_found`, `sandbox_stopped`, `hibernated`, `no_space` */
  running(id: string): Machine {
    const machine = this.#running.get(id);
    if (machine !== undefined) {
      machine.assertRuns();
      return machine;
    }
    throw this.refusal(id);
  }

  /** Why a machine that does not run takes no operations. */
  refusal(id: string): ApiError {
    const resting = this.#resting.get(id);
    if (resting === undefined) return new ApiError('sandbox_not_found', `this worker has no machine ${id}`);
    if (resting.state === 'hibernated') return new ApiError('hibernated', `sandbox ${id} is hibernated`);
    return machineEnded(id, resting.reason ?? 'unknown');
  }

  /**
   * Runs an operation on a machine, not in the middle of a change of its life. A change waits a while for it.
   * @param cutOff what becomes of one that a change had no patience for: made again after it, where that does no harm
   * @throws ApiError like `running`
   */
  async operate<Result>(
    id: string,
    operation: (channel: GuestChannel) => Promise<Result>,
    cutOff: 'fails' | 'repeats' = 'fails',
  ): Promise<Result> {
    for (;;) {
      const machine = this.running(id);
      let closings = machine.gate.closings;
      try {
        const done = await machine.gate.pass(async () => {
          closings = machine.gate.closings;
          // The change that it waited for may have put another in its place, or laid it to rest.
          return this.#running.get(id) === machine ? { result: await operation(machine.channel) } : undefined;
        });
        if (done !== undefined) return done.result;
      } catch (error) {
        const byChange =
          error instanceof ApiError && error.code === 'guest_failed' && machine.gate.closings > closings;
        if (!byChange || cutOff === 'fails') throw error;
      }
    }
  }
}

function restingInfo({ record, state, reason }: RestingMachine): MachineInfo {
  return machineInfo(record, state, reason);
}
