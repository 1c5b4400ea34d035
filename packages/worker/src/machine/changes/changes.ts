import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import {
  ApiError,
  type MachineInfo,
  type MachineSpec,
  type SnapshotInfo,
  type SnapshotRequest,
} from '@opencomputer/protocol';
import type { Capacity } from '../../host/capacity.ts';
import { Turns } from '../../host/turns.ts';
import type { HostSetup } from '../../qemu/setup.ts';
import type { Compatibility } from '../../snapshots/manifest.ts';
import { snapshotInfo, type SnapshotStore } from '../../snapshots/store.ts';
import type { TemplateStore } from '../../templates/store.ts';
import { withGateClosed } from '../gate.ts';
import type { MachineRecord } from '../record.ts';
import type { MachineRegistry } from '../registry.ts';
import { createMachine } from './create.ts';
import { deleteMachine } from './delete.ts';
import { EndedMachines } from './ended.ts';
import { Exclusive } from './exclusive.ts';
import { failAs } from './failure.ts';
import { Flattening } from './flattening.ts';
import { hibernateMachine } from './hibernate.ts';
import { Origins } from './origins.ts';
import { checkDisk } from './prepare.ts';
import { endForReboot } from './reboot.ts';
import { restoreMachine } from './restore.ts';
import { Runner, type Started } from './runner.ts';
import { snapshotMachine } from './snapshot.ts';
import { Starts } from './starts.ts';
import { wakeOrBoot } from './wake.ts';

/** More machines that start at once get in each other's way: all are late then, and some too late. */
const startsAtOnce = Math.max(4, 2 * availableParallelism());

const notStartedAgain = 'it was ended for a reboot and could not be started again';

export interface ChangesOptions {
  host: HostSetup;
  registry: MachineRegistry;
  templates: TemplateStore;
  snapshots: SnapshotStore;
  capacity: Capacity;
  /** Directory that holds one directory per machine. */
  directory: string;
  onFailed: (id: string, reason: string) => void;
  /** A guest has restarted by itself and runs again. */
  onRestarted: (id: string) => void;
}

/** The changes of machines' lives. Those of one machine follow each other. */
export class Changes {
  /** Starts machines, and hears of those that end. */
  readonly runner: Runner;
  readonly #options: ChangesOptions;
  readonly #origins: Origins;
  readonly #exclusive = new Exclusive();
  readonly #turns = new Turns(startsAtOnce);
  readonly #starts: Starts;
  readonly #flattening: Flattening;
  readonly #ended: EndedMachines;

  constructor(options: ChangesOptions) {
    const { host, registry, templates, snapshots, capacity, directory, onFailed, onRestarted } = options;
    this.#options = options;
    this.#origins = new Origins(host, templates, snapshots);
    this.runner = new Runner(host, (machine, reason) => this.#ended.handle(machine, reason));
    this.#starts = new Starts(this.runner, registry, capacity, directory);
    this.#flattening = new Flattening(registry, this.#exclusive, host.log);
    this.#ended = new EndedMachines({
      registry,
      capacity,
      network: host.network,
      log: host.log,
      change: (id, change) => this.#change(id, change),
      boot: (id, record, reason) => this.#starts.boot(id, record, reason),
      onFailed,
      onRestarted,
    });
  }

  /**
   * Creates a machine, or answers for the one that this id has already if it was asked for in the same words.
   * @throws ApiError `conflict`, `no_capacity`, `template_not_found`, `checkpoint_not_found`, `creation_failed`, `start_failed`
   */
  create(id: string, spec: MachineSpec): Promise<MachineInfo> {
    return this.#change(id, async () => {
      const known = this.#known(id, spec);
      if (known !== undefined) return known;
      const directory = this.#starts.path(id);
      if (existsSync(directory))
        throw new ApiError('conflict', `there are files of another machine ${id} on this host`);
      return this.#starts.start(id, spec.memoryMB, async () => {
        const origin = await this.#origins.find(spec);
        // A template that has to be made first takes minutes, in which others start.
        const machine = await this.#turns.run(() =>
          createMachine(this.runner, { id, directory, spec, origin }),
        );
        this.#options.host.log.info({ machine: id, timings: machine.record.timings }, 'machine ready');
        return { machine, answered: Promise.resolve() };
      });
    });
  }

  /** Saves a machine's memory and ends its process. One that hibernates already stays so. */
  hibernate(id: string): Promise<{ sizeBytes: number }> {
    return this.#change(id, async () => {
      const { registry, host, capacity } = this.#options;
      const resting = registry.findResting(id);
      if (resting?.state === 'hibernated') return { sizeBytes: resting.record.hibernationBytes };
      const machine = registry.running(id);
      await withGateClosed(machine, async () => {
        await failAs('snapshot_failed', `sandbox ${id} could not be hibernated`, () =>
          hibernateMachine(host, machine, this.#here(machine.record)),
        );
        registry.setResting({ record: machine.record, state: 'hibernated', reason: undefined });
        capacity.release(id);
      });
      return { sizeBytes: machine.record.hibernationBytes };
    });
  }

  /** Wakes a hibernated machine; one whose memory cannot be restored, or that has failed, boots from its disk. */
  wake(id: string): Promise<MachineInfo> {
    return this.#change(id, async () => {
      const { registry, host } = this.#options;
      const resting = registry.findResting(id);
      if (resting === undefined) return registry.running(id).info();
      const sleeper = { directory: this.#starts.path(id), record: resting.record };
      await checkDisk(host, sleeper);
      if (resting.state === 'failed') return this.#starts.boot(id, resting.record, resting.reason);
      return this.#starts.start(id, resting.record.spec.memoryMB, () =>
        wakeOrBoot(this.runner, sleeper, this.#here(resting.record)),
      );
    });
  }

  /** Starts a machine again from its disk; unless `hard`, its system shuts down first. */
  reboot(id: string, hard: boolean): Promise<MachineInfo> {
    return this.#change(id, async () => {
      const { registry, host, capacity } = this.#options;
      const machine = registry.findRunning(id);
      if (machine === undefined) {
        const resting = registry.findResting(id);
        // What hibernates has a system that can shut down, once it is awake; a failed one has none.
        if (resting === undefined || (!hard && resting.state === 'hibernated')) throw registry.refusal(id);
        return this.#starts.boot(id, resting.record, undefined);
      }
      return withGateClosed(machine, async () => {
        await endForReboot(host, machine, hard);
        capacity.release(id);
        try {
          return await this.#starts.boot(id, machine.record, undefined);
        } finally {
          // Until then operations wait for it.
          if (registry.findRunning(id) === machine)
            registry.setResting({ record: machine.record, state: 'failed', reason: notStartedAgain });
        }
      });
    });
  }

  /** Puts a machine back to a snapshot. */
  restore(id: string, snapshotId: string): Promise<MachineInfo> {
    return this.#change(id, async () => {
      const { registry } = this.#options;
      const running = registry.findRunning(id);
      const record = registry.record(id);
      if (record === undefined) throw registry.refusal(id);
      const origin = await this.#origins.snapshot(snapshotId, record.spec);
      const change = (): Promise<Started> =>
        restoreMachine(this.runner, { directory: this.#starts.path(id), record, running }, origin);
      if (running === undefined)
        return this.#starts.start(id, record.spec.memoryMB, async () => {
          await this.#starts.endProcesses(id);
          return change();
        });
      return withGateClosed(running, async () => {
        const what = `sandbox ${id} could not be restored`;
        const { machine, answered } = await failAs('start_failed', what, change);
        this.#starts.list(machine);
        await failAs('start_failed', what, () => answered);
        return registry.info(id);
      });
    });
  }

  /** Takes a snapshot of a running machine, or answers for the one that this id has already. */
  snapshot(
    snapshotId: string,
    { machine: id, kind, requireQuiesced = false }: SnapshotRequest,
  ): Promise<SnapshotInfo> {
    const take = async (): Promise<SnapshotInfo> => {
      const { registry, host, snapshots } = this.#options;
      const there = await snapshots.find(snapshotId);
      if (there !== undefined) return snapshotInfo(there.manifest);
      const machine = registry.running(id);
      const here = this.#here(machine.record);
      const manifest = await withGateClosed(machine, () =>
        failAs('snapshot_failed', `no checkpoint of sandbox ${id} could be taken`, () =>
          snapshotMachine(host, snapshots, machine, { id: snapshotId, kind, here, requireQuiesced }),
        ),
      );
      host.log.info({ machine: id, snapshot: snapshotId, pauseMs: manifest.pauseMs }, 'snapshot taken');
      this.#flattening.schedule(id);
      return snapshotInfo(manifest);
    };
    this.#flattening.giveUpForLayer(id);
    return this.#exclusive.run(id, take);
  }

  /** Ends a machine and deletes its disk. A machine that is not there is fine. */
  delete(id: string): Promise<void> {
    return this.#change(id, async () => {
      const { host, capacity, registry } = this.#options;
      const machine = registry.findRunning(id);
      await deleteMachine(host, {
        id,
        directory: this.#starts.path(id),
        machine,
        record: registry.record(id),
      });
      registry.remove(id);
      capacity.release(id);
      this.#ended.forget(id);
    });
  }

  /** Runs a change of a machine's life after those before it. A flattening of its disk makes way for it. */
  #change<Result>(id: string, change: () => Promise<Result>): Promise<Result> {
    this.#flattening.giveUp(id);
    return this.#exclusive.run(id, change);
  }

  /** The machine that this id has already. @throws ApiError where it has failed, or is another than is asked for */
  #known(id: string, spec: MachineSpec): MachineInfo | undefined {
    const { registry } = this.#options;
    const record = registry.record(id);
    if (record === undefined) return undefined;
    if (registry.findResting(id)?.state === 'failed') throw registry.refusal(id);
    if (isDeepStrictEqual(record.spec, spec)) return registry.info(id);
    throw new ApiError('conflict', `machine ${id} exists with another specification`);
  }

  /** What memories that are restored on this host must be compatible with. */
  #here({ spec }: MachineRecord): Compatibility {
    return this.#options.templates.compatibility(spec.template, spec);
  }
}
