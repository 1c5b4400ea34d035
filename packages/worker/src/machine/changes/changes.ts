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

/** More machines that start at the same time slow each other down until some miss their deadlines. */
const startsAtOnce = Math.max(4, 2 * availableParallelism());

const notStartedAgain = 'it was ended for a reboot and could not be started again';

export interface ChangesOptions {
  host: HostSetup;
  registry: MachineRegistry;
  templates: TemplateStore;
  snapshots: SnapshotStore;
  capacity: Capacity;
  /** The directory with one directory per machine. */
  directory: string;
  onFailed: (id: string, reason: string) => void;
  /** A guest has restarted by itself and runs again. */
  onRestarted: (id: string) => void;
}

/** The changes of machines. Those of one machine run one after the other. */
export class Changes {
  /** Starts machines, and is notified of those that end. */
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
   * Creates a machine, or returns the one that has this id already if it was requested with the same specification.
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
        // A template that has to be built first takes minutes; other machines start meanwhile.
        const machine = await this.#turns.run(() =>
          createMachine(this.runner, { id, directory, spec, origin }),
        );
        this.#options.host.log.info({ machine: id, timings: machine.record.timings }, 'machine ready');
        return { machine, answered: Promise.resolve() };
      });
    });
  }

  /** Saves a machine's memory and ends its process. Does nothing where it is hibernated already. */
  hibernate(id: string): Promise<{ sizeBytes: number }> {
    return this.#change(id, async () => {
      const { registry, host, capacity } = this.#options;
      const dormant = registry.findDormant(id);
      if (dormant?.state === 'hibernated') return { sizeBytes: dormant.record.hibernationBytes };
      const machine = registry.running(id);
      await withGateClosed(machine, async () => {
        try {
          await failAs('snapshot_failed', `sandbox ${id} could not be hibernated`, () =>
            hibernateMachine(host, machine, this.#here(machine.record)),
          );
        } finally {
          // From the write of the record on it is hibernated, even where its process or its network could not be removed.
          if (machine.record.hibernated) {
            registry.setDormant({ record: machine.record, state: 'hibernated', reason: undefined });
            capacity.release(id);
          }
        }
      });
      return { sizeBytes: machine.record.hibernationBytes };
    });
  }

  /** Wakes a hibernated machine. One whose memory cannot be restored, or that has failed, boots from its disk. */
  wake(id: string): Promise<MachineInfo> {
    return this.#change(id, async () => {
      const { registry, host } = this.#options;
      const dormant = registry.findDormant(id);
      if (dormant === undefined) return registry.running(id).info();
      const sleeper = { directory: this.#starts.path(id), record: dormant.record };
      await checkDisk(host, sleeper);
      if (dormant.state === 'failed') return this.#starts.boot(id, dormant.record, dormant.reason);
      return this.#starts.start(id, dormant.record.spec.memoryMB, () =>
        wakeOrBoot(this.runner, sleeper, this.#here(dormant.record)),
      );
    });
  }

  /** Starts a machine again from its disk; unless `hard`, its system shuts down first. */
  reboot(id: string, hard: boolean): Promise<MachineInfo> {
    return this.#change(id, async () => {
      const { registry, host, capacity } = this.#options;
      const machine = registry.findRunning(id);
      if (machine === undefined) {
        const dormant = registry.findDormant(id);
        // A hibernated machine has to be woken first, so that its system can shut down; a failed one boots at once.
        if (dormant === undefined || (!hard && dormant.state === 'hibernated')) throw registry.refusal(id);
        return this.#starts.boot(id, dormant.record, undefined);
      }
      return withGateClosed(machine, async () => {
        try {
          await failAs('start_failed', `sandbox ${id} could not be ended for a reboot`, () =>
            endForReboot(host, machine, hard),
          );
          capacity.release(id);
          return await this.#starts.boot(id, machine.record, undefined);
        } finally {
          // Calls wait until then.
          if (registry.findRunning(id) === machine) {
            registry.setDormant({ record: machine.record, state: 'failed', reason: notStartedAgain });
            capacity.release(id);
          }
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

  /** Takes a snapshot of a running machine, or returns the one that has this id already. */
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

  /** Runs a change of a machine after those before it. A flattening of its disk is given up for it. */
  #change<Result>(id: string, change: () => Promise<Result>): Promise<Result> {
    this.#flattening.giveUp(id);
    return this.#exclusive.run(id, change);
  }

  /** The machine that has this id already. @throws ApiError where it has failed, or has another specification */
  #known(id: string, spec: MachineSpec): MachineInfo | undefined {
    const { registry } = this.#options;
    const record = registry.record(id);
    if (record === undefined) return undefined;
    if (registry.findDormant(id)?.state === 'failed') throw registry.refusal(id);
    if (isDeepStrictEqual(record.spec, spec)) return registry.info(id);
    throw new ApiError('conflict', `machine ${id} exists with another specification`);
  }

  /** What a saved memory must be compatible with to be restored on this host. */
  #here({ spec }: MachineRecord): Compatibility {
    return this.#options.templates.compatibility(spec.template, spec);
  }
}
