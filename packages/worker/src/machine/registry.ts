import { ApiError, type MachineInfo } from '@opencomputer/protocol';
import type { GuestChannel } from '../guest/index.ts';
import type { Machine } from './machine.ts';
import { machineEnded, machineInfo } from './machine.ts';
import type { MachineRecord } from './record.ts';

/** A machine without a process. Its disk is kept. */
export interface DormantMachine {
  record: MachineRecord;
  state: 'hibernated' | 'failed';
  /** Why it failed. */
  reason: string | undefined;
}

/** The machines of this host, running or dormant. */
export class MachineRegistry {
  readonly #running = new Map<string, Machine>();
  readonly #dormant = new Map<string, DormantMachine>();

  setRunning(machine: Machine): void {
    this.#dormant.delete(machine.id);
    this.#running.set(machine.id, machine);
  }

  setDormant(dormant: DormantMachine): void {
    this.#running.delete(dormant.record.id);
    this.#dormant.set(dormant.record.id, dormant);
  }

  remove(id: string): void {
    this.#running.delete(id);
    this.#dormant.delete(id);
  }

  findRunning(id: string): Machine | undefined {
    return this.#running.get(id);
  }

  findDormant(id: string): DormantMachine | undefined {
    return this.#dormant.get(id);
  }

  record(id: string): MachineRecord | undefined {
    return this.#running.get(id)?.record ?? this.#dormant.get(id)?.record;
  }

  allRunning(): Machine[] {
    return [...this.#running.values()];
  }

  list(): MachineInfo[] {
    return [
      ...this.#running.values().map((machine) => machine.info()),
      ...this.#dormant.values().map(dormantInfo),
    ];
  }

  /** @throws ApiError `sandbox_not_found` */
  info(id: string): MachineInfo {
    const dormant = this.#dormant.get(id);
    if (dormant !== undefined) return dormantInfo(dormant);
    return this.running(id).info();
  }

  /** A machine that takes calls. @throws ApiError `sandbox_not_found`, `sandbox_stopped`, `hibernated`, `no_space` */
  running(id: string): Machine {
    const machine = this.#running.get(id);
    if (machine !== undefined) {
      machine.assertRuns();
      return machine;
    }
    throw this.refusal(id);
  }

  /** Why a machine that does not run takes no calls. */
  refusal(id: string): ApiError {
    const dormant = this.#dormant.get(id);
    if (dormant === undefined) return new ApiError('sandbox_not_found', `this worker has no machine ${id}`);
    if (dormant.state === 'hibernated') return new ApiError('hibernated', `sandbox ${id} is hibernated`);
    return machineEnded(id, dormant.reason ?? 'unknown');
  }

  /**
   * Makes a call to the guest of a machine, not during a change of the machine. A change waits a while for it.
   * @param cutOff what happens to a call that a change cuts off: `repeats` makes it again after the change, for calls
   * where that does no harm
   * @throws ApiError like `running`
   */
  async call<Result>(
    id: string,
    make: (channel: GuestChannel) => Promise<Result>,
    cutOff: 'fails' | 'repeats' = 'fails',
  ): Promise<Result> {
    for (;;) {
      const machine = this.running(id);
      let closings = machine.gate.closings;
      try {
        const done = await machine.gate.pass(async () => {
          closings = machine.gate.closings;
          // The change that it waited for may have replaced the machine, or ended it.
          return this.#running.get(id) === machine ? { result: await make(machine.channel) } : undefined;
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

function dormantInfo({ record, state, reason }: DormantMachine): MachineInfo {
  return machineInfo(record, state, reason);
}
