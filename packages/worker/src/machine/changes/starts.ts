import { join } from 'node:path';
import { ApiError, type MachineInfo } from '@opencomputer/protocol';
import type { Capacity } from '../../host/capacity.ts';
import { endProcessesOf } from '../../qemu/process.ts';
import { machinePrefix } from '../../qemu/setup.ts';
import type { Machine } from '../machine.ts';
import type { MachineRecord } from '../record.ts';
import type { MachineRegistry } from '../registry.ts';
import { bootMachine } from './boot.ts';
import { failAs } from './failure.ts';
import type { Runner, Started } from './runner.ts';

/** What a machine writes to its disk while it starts, in MiB. */
const startingDiskMB = 32;

/** Starts machines where the host has room for them, and registers those that run. */
export class Starts {
  readonly #runner: Runner;
  readonly #registry: MachineRegistry;
  readonly #capacity: Capacity;
  readonly #directory: string;

  /** @param directory the one with one directory per machine */
  constructor(runner: Runner, registry: MachineRegistry, capacity: Capacity, directory: string) {
    this.#runner = runner;
    this.#registry = registry;
    this.#capacity = capacity;
    this.#directory = directory;
  }

  /** The directory of a machine. */
  path(id: string): string {
    return join(this.#directory, id);
  }

  /**
   * Reserves room for a machine, starts it and waits for its agent. A machine that runs and is slow to answer is kept.
   * @throws ApiError `no_capacity`, `start_failed`
   */
  async start(id: string, memoryMB: number, start: () => Promise<Started>): Promise<MachineInfo> {
    const admission = await this.#capacity.reserve(id, { memoryMB, diskMB: startingDiskMB });
    if (!admission.ok) throw new ApiError('no_capacity', admission.message, { hint: admission.hint });
    let started;
    try {
      started = await failAs('start_failed', `the machine of ${id} could not be started`, start);
    } catch (error) {
      this.#capacity.release(id);
      throw error;
    }
    this.#capacity.started(id);
    this.list(started.machine);
    const { answered } = started;
    await failAs('start_failed', `the machine of ${id} runs, but does not answer`, () => answered);
    return this.#registry.info(id);
  }

  /** Starts a machine from its disk. @param reason why its memory is not used @throws ApiError like `start` */
  boot(id: string, record: MachineRecord, reason: string | undefined): Promise<MachineInfo> {
    return this.start(id, record.spec.memoryMB, async () => {
      await this.endProcesses(id);
      return bootMachine(this.#runner, { directory: this.path(id), record }, reason);
    });
  }

  /** Registers a machine that runs. It may have ended before it was registered; that is checked here. */
  list(machine: Machine): void {
    this.#registry.setRunning(machine);
    if (machine.failure !== undefined) this.#runner.onEnd(machine, machine.failure);
  }

  /**
   * Ends every process of a machine that still runs. One that could not be taken over would write to the disk of the
   * next.
   */
  endProcesses(id: string): Promise<void> {
    return endProcessesOf(machinePrefix(this.#runner.host.instanceTag, id), this.path(id));
  }
}
