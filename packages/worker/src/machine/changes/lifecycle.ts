import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import {
  ApiError,
  type MachineInfo,
  type MachineSpec,
  type SnapshotInfo,
  type SnapshotRequest,
} from '@opencomputer/protocol';
import type { Capacity } from '../../host/capacity.ts';
import { Turns } from '../../host/turns.ts';
import { snapshotInfo, type SnapshotStore } from '../../snapshots/store.ts';
import type { TemplateStore } from '../../templates/store.ts';
import { checkpointMachine } from './checkpoint.ts';
import { createMachine } from './create.ts';
import { deleteMachine } from './delete.ts';
import { Exclusive } from './exclusive.ts';
import { failAs } from './failure.ts';
import { flattenMachine, mustFlatten, shouldFlatten } from './flatten.ts';
import { withGateClosed } from '../gate.ts';
import { hibernateMachine } from './hibernate.ts';
import { guestReset, type Machine, machineEnded } from '../machine.ts';
import type { Compatibility } from '../../snapshots/manifest.ts';
import { Origins } from './origins.ts';
import { machinePrefix, type Platform } from '../../qemu/setup.ts';
import { shutDownGuest } from './reboot.ts';
import { endProcess, endProcessesOf } from '../../qemu/process.ts';
import type { MachineRecord } from '../record.ts';
import type { MachineRegistry, RestingMachine } from '../registry.ts';
import { restoreMachine } from './restore.ts';
import { atStep } from '../steps.ts';
import { Runner, type Started } from './start.ts';
import { MemoryLost, wakeMachine } from './wake.ts';
import { checkDisk } from './prepare.ts';
import { bootMachine } from './boot.ts';

/** What a machine writes to its disk while it starts, in MiB. */
const startingDiskMB = 32;
/** A guest that restarts itself again within this time is left down: its kernel crashes in a circle. */
const restartCircleMs = 60_000;

/** More machines that start at once get in each other's way: all are late then, and some too late. */
const startsAtOnce = Math.max(4, 2 * availableParallelism());

const notStartedAgain = 'it was ended for a reboot and could not be started again';

export interface LifecycleOptions {
  platform: Platform;
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
export class Lifecycle {
  /** Starts machines, and hears of those that end. */
  readonly runner: Runner;
  readonly #options: LifecycleOptions;
  readonly #origins: Origins;
  readonly #exclusive = new Exclusive();
  readonly #starts = new Turns(startsAtOnce);
  readonly #restarted = new Map<string, number>();
  readonly #tidying = new Map<string, AbortController>();

  constructor(options: LifecycleOptions) {
    this.#options = options;
    this.runner = new Runner(options.platform, this.ended);
    this.#origins = new Origins(options.platform, options.templates, options.snapshots);
  }

  /** What happens when a machine's process ends unasked: a guest that restarts itself boots again, others have failed. */
  readonly ended = (machine: Machine, reason: string): void => {
    const { platform, registry, capacity, onFailed, onRestarted } = this.#options;
    // One that ends before its creation has returned is the creation's failure.
    if (registry.findRunning(machine.id) !== machine) return;
    const { id, record } = machine;
    const last = this.#restarted.get(id) ?? -Infinity;
    const again = reason === guestReset && performance.now() - last >= restartCircleMs;
    const resting: RestingMachine = { record, state: 'failed', reason };
    // Operations wait for one that starts again.
    if (again) void machine.gate.close(0);
    else registry.setResting(resting);
    capacity.release(id);
    void this.#change(id, async () => {
      await endProcess(machine.process.identity);
      await platform.network.release(machine.slot);
      const present = again ? registry.findRunning(id) === machine : registry.findResting(id) === resting;
      // Otherwise a change that was under way has done without it: it hibernates, is another, or is gone.
      if (!present) return;
      if (!again) throw new Error(reason);
      try {
        await this.#boot(id, record, reason);
        this.#restarted.set(id, performance.now());
        onRestarted(id);
      } finally {
        if (registry.findRunning(id) === machine) registry.setResting(resting);
      }
    })
      .catch((error: unknown) => {
        platform.log.error({ machine: id, err: error }, 'machine failed');
        if (registry.findRunning(id) === undefined) onFailed(id, reason);
      })
      .finally(() => machine.gate.open());
  };

  /**
   * Creates a machine, or answers for the one that this id has already if it was asked for in the same words.
   * @throws ApiError `conflict`, `no_capacity`, `template_not_found`, `checkpoint_not_found`, `creation_failed`
   */
  create(id: string, spec: MachineSpec): Promise<MachineInfo> {
    return this.#change(id, async () => {
      const { registry, platform } = this.#options;
      const resting = registry.findResting(id);
      if (resting?.state === 'failed') throw machineEnded(id, resting.reason ?? 'unknown');
      const known = registry.record(id);
      if (known !== undefined) {
        if (isDeepStrictEqual(known.spec, spec)) return registry.info(id);
        throw new ApiError('conflict', `machine ${id} exists with another specification`);
      }
      const directory = this.#path(id);
      if (existsSync(directory))
        throw new ApiError('conflict', `there are files of another machine ${id} on this host`);
      return this.#start(id, spec.memoryMB, async () => {
        const origin = await this.#origins.find(spec);
        // A template that has to be made first takes minutes, in which others start.
        const machine = await this.#starts.run(() =>
          createMachine(this.runner, { id, directory, spec, origin }),
        );
        platform.log.info({ machine: id, timings: machine.record.timings }, 'machine ready');
        return { machine, answered: Promise.resolve() };
      });
    });
  }

  /** Saves a machine's memory and ends its process. One that hibernates already stays so. */
  hibernate(id: string): Promise<{ sizeBytes: number }> {
    return this.#change(id, async () => {
      const { registry, platform, capacity } = this.#options;
      const resting = registry.findResting(id);
      if (resting?.state === 'hibernated') return { sizeBytes: resting.record.hibernationBytes };
      const machine = registry.running(id);
      await withGateClosed(machine, async () => {
        await failAs('snapshot_failed', `sandbox ${id} could not be hibernated`, () =>
          hibernateMachine(platform, machine, this.#here(machine.record)),
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
      const { registry, platform } = this.#options;
      const resting = registry.findResting(id);
      if (resting === undefined) return registry.running(id).info();
      const sleeper = { directory: this.#path(id), record: resting.record };
      await checkDisk(platform, sleeper);
      if (resting.state === 'failed') return this.#boot(id, resting.record, resting.reason);
      return this.#start(id, resting.record.spec.memoryMB, async () => {
        try {
          return await wakeMachine(this.runner, sleeper, this.#here(resting.record));
        } catch (error) {
          if (!(error instanceof MemoryLost)) throw error;
          const reason = `its memory could not be restored: ${error.message}`;
          platform.log.error({ machine: id, err: error }, 'memory could not be restored; booting from disk');
          return bootMachine(this.runner, sleeper, reason);
        }
      });
    });
  }

  /** Starts a machine again from its disk; unless `hard`, its system shuts down first. */
  reboot(id: string, hard: boolean): Promise<MachineInfo> {
    return this.#change(id, async () => {
      const { registry, platform, capacity } = this.#options;
      const machine = registry.findRunning(id);
      if (machine === undefined) {
        const resting = registry.findResting(id);
        // What hibernates has a system that can shut down, once it is awake; a failed one has none.
        if (resting === undefined || (!hard && resting.state === 'hibernated')) registry.running(id);
        const record = resting?.record ?? registry.running(id).record;
        return this.#boot(id, record, undefined);
      }
      return withGateClosed(machine, async () => {
        if (!hard) await shutDownGuest(machine, platform.log);
        machine.expectEnd();
        await endProcess(machine.process.identity);
        await atStep('reboot:ended', id);
        await platform.network.release(machine.slot);
        capacity.release(id);
        try {
          return await this.#boot(id, machine.record, undefined);
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
      const record = registry.record(id) ?? registry.running(id).record;
      const origin = await this.#origins.snapshot(snapshotId, record.spec);
      const change = (): Promise<Started> =>
        restoreMachine(this.runner, { directory: this.#path(id), record, running }, origin);
      if (running === undefined)
        return this.#start(id, record.spec.memoryMB, async () => {
          await this.#endProcesses(id);
          return change();
        });
      return withGateClosed(running, async () => {
        const what = `sandbox ${id} could not be restored`;
        const { machine, answered } = await failAs('creation_failed', what, change);
        this.#keep(machine);
        await failAs('creation_failed', what, () => answered);
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
      const { registry, platform, snapshots } = this.#options;
      const there = await snapshots.find(snapshotId);
      if (there !== undefined) return snapshotInfo(there.manifest);
      const machine = registry.running(id);
      const here = this.#here(machine.record);
      const manifest = await withGateClosed(machine, () =>
        failAs('snapshot_failed', `no checkpoint of sandbox ${id} could be taken`, () =>
          checkpointMachine(platform, snapshots, machine, { id: snapshotId, kind, here, requireQuiesced }),
        ),
      );
      platform.log.info({ machine: id, snapshot: snapshotId, pauseMs: manifest.pauseMs }, 'snapshot taken');
      this.#tidy(id);
      return snapshotInfo(manifest);
    };
    return this.#change(id, take, true);
  }

  /** Ends a machine and deletes its disk. A machine that is not there is fine. */
  delete(id: string): Promise<void> {
    return this.#change(id, async () => {
      const { platform, capacity, registry } = this.#options;
      const machine = registry.findRunning(id);
      await deleteMachine(platform, { id, directory: this.#path(id), machine, record: registry.record(id) });
      registry.remove(id);
      capacity.release(id);
      this.#restarted.delete(id);
    });
  }

  /**
   * Runs a change of a machine's life after those before it. A flattening of its disk that is under way is given up for
   * it, unless the change adds a layer to a disk that has too many.
   */
  #change<Result>(id: string, change: () => Promise<Result>, addsLayer = false): Promise<Result> {
    const tidying = this.#tidying.get(id);
    const machine = this.#options.registry.findRunning(id);
    const waits = addsLayer && machine !== undefined && mustFlatten(machine);
    if (tidying?.signal.aborted === false && !waits) {
      tidying.abort();
      this.#options.platform.log.info({ machine: id }, 'another change is due: its disk is not flattened');
    }
    return this.#exclusive.run(id, change);
  }

  /** Makes a long chain of disk layers short, while nothing else wants to change the machine. */
  #tidy(id: string): void {
    const { registry, platform } = this.#options;
    const machine = registry.findRunning(id);
    if (machine === undefined || this.#tidying.has(id) || !shouldFlatten(machine)) return;
    const given = new AbortController();
    this.#tidying.set(id, given);
    this.#exclusive
      .run(id, async () => {
        if (given.signal.aborted || registry.findRunning(id) !== machine) return;
        const started = performance.now();
        const done = await flattenMachine(machine, given.signal);
        const milliseconds = Math.round(performance.now() - started);
        platform.log.info({ machine: id, done, milliseconds }, 'disk flattened');
      })
      .catch((error: unknown) =>
        platform.log.error({ machine: id, err: error }, 'the disk could not be flattened'),
      )
      .finally(() => this.#tidying.delete(id));
  }

  #path(id: string): string {
    return join(this.#options.directory, id);
  }

  #boot(id: string, record: MachineRecord, reason: string | undefined): Promise<MachineInfo> {
    const sleeper = { directory: this.#path(id), record };
    return this.#start(id, record.spec.memoryMB, async () => {
      await this.#endProcesses(id);
      return bootMachine(this.runner, sleeper, reason);
    });
  }

  /** Ends whatever still runs of a machine. A process that could not be taken over would write to the disk of the next. */
  #endProcesses(id: string): Promise<void> {
    return endProcessesOf(machinePrefix(this.#options.platform.instanceTag, id), this.#path(id));
  }

  /** What memories that are restored on this host must be compatible with. */
  #here({ spec }: MachineRecord): Compatibility {
    return this.#options.templates.compatibility(spec.template, spec);
  }

  /** Reserves room for a machine, starts it and waits for its agent. A machine that runs but is slow to answer is kept. */
  async #start(id: string, memoryMB: number, start: () => Promise<Started>): Promise<MachineInfo> {
    const { capacity, registry } = this.#options;
    const admission = await capacity.reserve(id, { memoryMB, diskMB: startingDiskMB });
    if (!admission.ok) throw new ApiError('no_capacity', admission.message, { hint: admission.hint });
    let started;
    try {
      started = await failAs('creation_failed', `the machine of ${id} could not be started`, start);
    } catch (error) {
      capacity.release(id);
      throw error;
    }
    const { machine, answered } = started;
    capacity.started(id);
    this.#keep(machine);
    await failAs('creation_failed', `the machine of ${id} runs, but does not answer`, () => answered);
    return registry.info(id);
  }

  /** Lists a machine that runs. It may have died before it was in the list that `ended` looks at. */
  #keep(machine: Machine): void {
    this.#options.registry.setRunning(machine);
    if (machine.failure !== undefined) this.ended(machine, machine.failure);
  }
}
