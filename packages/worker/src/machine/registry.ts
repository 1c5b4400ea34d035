import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import { ApiError, type MachineInfo, type MachineSpec } from '@opencomputer/protocol';
import { discardDirectory } from '../disk/overlay.ts';
import type { Capacity } from '../host/capacity.ts';
import type { TemplateStore } from '../templates/store.ts';
import { createMachine } from './create.ts';
import { type Machine, machineEnded } from './machine.ts';
import type { Platform } from './platform.ts';
import { endProcess, findProcesses } from './process.ts';
import { processPrefix } from './platform.ts';
import { type MachineRecord, readRecord, writeRecord } from './record.ts';

/** What a machine writes to its disk while it starts, in MiB. */
const startingDiskMB = 32;

/** A machine whose process has ended unasked. Its disk stays until it is deleted. */
export interface FailedMachine {
  record: MachineRecord;
  reason: string;
}

export interface RegistryOptions {
  platform: Platform;
  templates: TemplateStore;
  capacity: Capacity;
  /** Directory that holds one directory per machine. */
  directory: string;
  onFailed: (id: string, reason: string) => void;
}

/** The machines of this host. Every change of one machine waits for the change before it. */
export class MachineRegistry {
  readonly #options: RegistryOptions;
  readonly #running = new Map<string, Machine>();
  readonly #failed = new Map<string, FailedMachine>();
  readonly #creating = new Map<string, { spec: MachineSpec; done: Promise<MachineInfo> }>();
  readonly #deleting = new Map<string, Promise<void>>();

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** Called when an adopted or created machine is there. */
  add(machine: Machine): void {
    this.#running.set(machine.id, machine);
  }

  /** Called for a machine that was found dead. */
  addFailed(record: MachineRecord, reason: string): void {
    this.#failed.set(record.id, { record, reason });
  }

  /** What happens when a machine's process ends unasked. */
  readonly ended = (machine: Machine, reason: string): void => {
    const { platform, capacity, onFailed } = this.#options;
    // One that ends before its creation has returned is the creation's failure.
    if (this.#running.get(machine.id) !== machine) return;
    this.#running.delete(machine.id);
    capacity.release(machine.id);
    this.addFailed(machine.record, reason);
    platform.log.error({ machine: machine.id, reason }, 'machine failed');
    onFailed(machine.id, reason);
    endProcess(machine.process.identity)
      .then(() => platform.network.release(machine.slot))
      .catch((error: unknown) => {
        platform.log.error(
          { machine: machine.id, err: error },
          'remains of a failed machine stay until it is deleted',
        );
      });
  };

  list(): MachineInfo[] {
    const failed = [...this.#failed.values()].map(failedInfo);
    return [...[...this.#running.values()].map((machine) => machine.info()), ...failed];
  }

  /** @throws ApiError `sandbox_not_found` */
  info(id: string): MachineInfo {
    const failed = this.#failed.get(id);
    if (failed !== undefined) return failedInfo(failed);
    return this.#get(id).info();
  }

  /** A machine that takes operations. @throws ApiError `sandbox_not_found`, `sandbox_stopped`, `no_space` */
  running(id: string): Machine {
    const failed = this.#failed.get(id);
    if (failed !== undefined) throw machineEnded(id, failed.reason);
    const machine = this.#get(id);
    machine.assertRuns();
    return machine;
  }

  #get(id: string): Machine {
    const machine = this.#running.get(id);
    if (machine === undefined) throw new ApiError('sandbox_not_found', `this worker has no machine ${id}`);
    return machine;
  }

  /**
   * Creates a machine, or answers for the one that this id has already if it was asked for in the same words.
   * @throws ApiError `conflict`, `no_capacity`, `template_not_found`, `creation_failed`
   */
  async create(id: string, spec: MachineSpec): Promise<MachineInfo> {
    await this.#deleting.get(id);
    const existing = this.#creating.get(id);
    if (existing !== undefined) return same(existing.spec, spec, id, existing.done);
    const failed = this.#failed.get(id);
    if (failed !== undefined) throw machineEnded(id, failed.reason);
    const there = this.#running.get(id)?.info();
    if (there !== undefined) return same(there.spec, spec, id, there);
    const done = this.#create(id, spec).finally(() => this.#creating.delete(id));
    this.#creating.set(id, { spec, done });
    return done;
  }

  async #create(id: string, spec: MachineSpec): Promise<MachineInfo> {
    const { platform, templates, capacity } = this.#options;
    const admission = await capacity.reserve(id, { memoryMB: spec.memoryMB, diskMB: startingDiskMB });
    if (!admission.ok) throw new ApiError('no_capacity', admission.message, { hint: admission.hint });
    try {
      const template = await templates.get(spec.template, spec);
      const directory = join(this.#options.directory, id);
      if (existsSync(directory))
        throw new ApiError('conflict', `there are files of another machine ${id} on this host`);
      const machine = await createMachine(platform, { id, directory, spec, template }, this.ended);
      this.add(machine);
      capacity.started(id);
      platform.log.info({ machine: id, timings: machine.record.timings }, 'machine ready');
      // It may have died before it was in the list that `ended` looks at.
      if (machine.failure !== undefined) this.ended(machine, machine.failure);
      return this.info(id);
    } catch (error) {
      capacity.release(id);
      if (error instanceof ApiError) throw error;
      platform.log.error({ machine: id, err: error }, 'machine could not be created');
      if (isDiskFull(error)) throw new ApiError('no_space', 'the disk of the host is full', { cause: error });
      throw new ApiError('creation_failed', `the machine could not be started: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** Ends a machine and deletes its disk. A machine that is not there is fine. */
  async delete(id: string): Promise<void> {
    await this.#creating.get(id)?.done.catch(() => undefined);
    let deleting = this.#deleting.get(id);
    if (deleting === undefined) {
      deleting = this.#delete(id).finally(() => this.#deleting.delete(id));
      this.#deleting.set(id, deleting);
    }
    return deleting;
  }

  async #delete(id: string): Promise<void> {
    const { platform, capacity } = this.#options;
    const directory = join(this.#options.directory, id);
    const machine = this.#running.get(id);
    const record = machine?.record ?? this.#failed.get(id)?.record ?? (await this.#recordOf(id, directory));
    if (record !== undefined && existsSync(directory)) await this.#markDeleting(directory, record);
    machine?.expectEnd();
    const process = machine?.process.identity ?? findProcesses(processPrefix(platform.instanceTag)).get(id);
    if (process !== undefined) await endProcess(process);
    if (machine !== undefined) await platform.network.release(machine.slot);
    await discardDirectory(directory, platform.trash);
    this.#running.delete(id);
    this.#failed.delete(id);
    capacity.release(id);
  }

  /** Has a worker that starts finish the deletion. Where the disk is full it goes on unmarked, since it makes room. */
  async #markDeleting(directory: string, record: MachineRecord): Promise<void> {
    try {
      await writeRecord(directory, { ...record, deleting: true });
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#options.platform.log.warn({ machine: record.id }, 'deleting a machine on a full disk');
    }
  }

  /** The record of a machine that is about to be deleted; a damaged one is as good as none then. */
  async #recordOf(id: string, directory: string): Promise<MachineRecord | undefined> {
    try {
      return await readRecord(directory);
    } catch (error) {
      this.#options.platform.log.warn(
        { machine: id, err: error },
        'deleting a machine whose record is damaged',
      );
      return undefined;
    }
  }

  /** Lets go of all machines without ending them, before the worker stops. */
  detach(): void {
    for (const machine of this.#running.values()) machine.expectEnd();
  }
}

function isDiskFull(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOSPC';
}

function failedInfo({ record, reason }: FailedMachine): MachineInfo {
  const { id, spec, accelerator, startedAt, timings } = record;
  return { id, state: 'failed', reason, spec, accelerator, startedAt, timings };
}

async function same(
  known: MachineSpec,
  asked: MachineSpec,
  id: string,
  answer: MachineInfo | Promise<MachineInfo>,
): Promise<MachineInfo> {
  if (!isDeepStrictEqual(known, asked))
    throw new ApiError('conflict', `machine ${id} exists with another specification`);
  return answer;
}
