import {
  ApiError,
  type MachineInfo,
  type MachineSpec,
  type SnapshotInfo,
  type SnapshotRequest,
} from '@opencomputer/protocol';
import { SimulatedCommands } from './simulated-commands.ts';
import { SimulatedFiles } from './simulated-files.ts';
import { SimulatedSessions } from './simulated-sessions.ts';

export interface SimulatedMachine {
  info: MachineInfo;
  commands: SimulatedCommands;
  sessions: SimulatedSessions;
  files: SimulatedFiles;
  /** Stands for what is in memory: the command `count` adds one. */
  memory: { count: number };
}

interface Snapshot {
  readonly info: SnapshotInfo;
  readonly spec: MachineSpec;
  readonly files: ReadonlyMap<string, Buffer>;
  readonly count: number | undefined;
}

const imageBytes = 4096;

/** Machines whose memory is a counter and whose disk is a map, with the rules of the real ones. */
export class SimulatedMachines {
  readonly all = new Map<string, SimulatedMachine>();
  readonly snapshots = new Map<string, Snapshot>();
  /** Machines whose guests do not come to rest. */
  readonly restless = new Set<string>();
  /** How often a machine was really woken. */
  wakes = 0;
  /** Why memory cannot be restored, if it cannot. */
  coldBootReason: string | undefined;

  get(id: string): SimulatedMachine {
    const machine = this.all.get(id);
    if (machine === undefined) throw new ApiError('sandbox_not_found', `no machine ${id}`);
    return machine;
  }

  /** A machine that takes operations. */
  running(id: string): SimulatedMachine {
    const machine = this.get(id);
    if (machine.info.state === 'hibernated') throw new ApiError('hibernated', `machine ${id} is hibernated`);
    if (machine.info.state === 'failed')
      throw new ApiError('sandbox_stopped', `machine ${id} has ended: ${machine.info.reason}`);
    return machine;
  }

  add(id: string, spec: MachineSpec): SimulatedMachine {
    const snapshot = spec.snapshot === undefined ? undefined : this.#snapshot(spec.snapshot);
    const memory = { count: snapshot?.count ?? 0 };
    const machine: SimulatedMachine = {
      info: {
        id,
        state: 'running',
        spec,
        accelerator: 'tcg',
        startedAt: new Date().toISOString(),
        startedFrom: snapshot !== undefined && snapshot.count === undefined ? 'disk' : 'memory',
        timings: {},
      },
      commands: new SimulatedCommands(spec.env, memory),
      sessions: new SimulatedSessions(),
      files: new SimulatedFiles(snapshot?.files),
      memory,
    };
    this.all.set(id, machine);
    return machine;
  }

  hibernate(id: string): { sizeBytes: number } {
    const machine = this.get(id);
    if (machine.info.state !== 'hibernated') {
      this.running(id);
      machine.info = { ...machine.info, state: 'hibernated', hibernationBytes: imageBytes };
      machine.sessions.detachAll();
    }
    return { sizeBytes: imageBytes };
  }

  wake(id: string): MachineInfo {
    const machine = this.get(id);
    if (machine.info.state === 'running') return machine.info;
    this.wakes += 1;
    if (machine.info.state === 'failed') return this.#boot(machine, machine.info.reason);
    if (this.coldBootReason !== undefined) return this.#boot(machine, this.coldBootReason);
    return this.#started(machine, 'memory', undefined);
  }

  reboot(id: string, hard: boolean): MachineInfo {
    const machine = this.get(id);
    if (!hard && machine.info.state === 'hibernated') this.running(id);
    return this.#boot(machine, undefined);
  }

  /** What a guest that restarts itself leads to. */
  restart(id: string, reason: string): MachineInfo {
    return this.#boot(this.running(id), reason);
  }

  restore(id: string, snapshotId: string): MachineInfo {
    const machine = this.get(id);
    const { files, count } = this.#snapshot(snapshotId);
    machine.files = new SimulatedFiles(files);
    this.#boot(machine, undefined);
    machine.memory.count = count ?? 0;
    return this.#started(machine, count === undefined ? 'disk' : 'memory', undefined);
  }

  putSnapshot(id: string, { machine: machineId, kind, requireQuiesced }: SnapshotRequest): SnapshotInfo {
    const known = this.snapshots.get(id);
    if (known !== undefined) return known.info;
    const { info: of, files, memory } = this.running(machineId);
    const { cpuCount, memoryMB, diskMB } = of.spec;
    const quiesced = !this.restless.has(machineId);
    if (requireQuiesced === true && !quiesced)
      throw new ApiError('snapshot_failed', `the guest of sandbox ${machineId} did not come to rest`);
    const info: SnapshotInfo = {
      id,
      kind,
      cpuCount,
      memoryMB,
      diskMB,
      sizeBytes: imageBytes,
      createdAt: new Date().toISOString(),
      pauseMs: 1.5,
      quiesced,
    };
    const count = kind === 'full' ? memory.count : undefined;
    this.snapshots.set(id, { info, spec: of.spec, files: new Map(files.content), count });
    return info;
  }

  #snapshot(id: string): Snapshot {
    const snapshot = this.snapshots.get(id);
    if (snapshot === undefined) throw new ApiError('checkpoint_not_found', `no snapshot ${id}`);
    return snapshot;
  }

  #boot(machine: SimulatedMachine, reason: string | undefined): MachineInfo {
    machine.memory.count = 0;
    machine.commands.forgetAll();
    machine.sessions.detachAll();
    machine.sessions = new SimulatedSessions();
    return this.#started(machine, 'disk', reason);
  }

  #started(
    machine: SimulatedMachine,
    startedFrom: 'memory' | 'disk',
    reason: string | undefined,
  ): MachineInfo {
    const { reason: _failed, coldBootReason: _earlier, hibernationBytes: _bytes, ...info } = machine.info;
    const cold = reason === undefined ? {} : { coldBootReason: reason };
    machine.info = { ...info, state: 'running', startedFrom, ...cold, startedAt: new Date().toISOString() };
    return machine.info;
  }
}
