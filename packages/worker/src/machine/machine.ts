import type { ChildProcess } from 'node:child_process';
import type { ClientHttp2Session } from 'node:http2';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  ApiError,
  type Egress,
  type HandshakeAnswer,
  type MachineInfo,
  type MachineState,
} from '@opencomputer/protocol';
import type { Logger } from 'pino';
import { bringEgress, GuestChannel } from '../guest/index.ts';
import { isSameProcess, waitForExit } from '../host/processes.ts';
import type { NetworkSlot } from '../network/types.ts';
import { machineFiles } from '../qemu/argv.ts';
import type { Launched } from '../qemu/launch.ts';
import { lastLines, machineLogFile } from '../qemu/log-file.ts';
import type { MachineProcess } from '../qemu/process.ts';
import { Qmp } from '../qemu/qmp.ts';
import { runDirectory } from '../qemu/run-directory.ts';
import { FullDiskWatch } from './full-disk.ts';
import type { Gate } from './gate.ts';
import { identityOf } from './identity.ts';
import { type MachineRecord, writeRecord } from './record.ts';

/** The reason of an end where the guest restarted: its kernel crashed, or somebody in it ran `reboot`. */
export const guestReset = 'the guest restarted or its kernel crashed';

/** How long a process may take to end after its monitor closed, and a monitor to answer again. */
const exitMs = 3000;

export interface MachineParts {
  directory: string;
  record: MachineRecord;
  slot: NetworkSlot;
  gate: Gate;
  launched: Launched;
  egress: Egress;
  log: Logger;
}

/**
 * One running machine, from the start of its QEMU process to the end of it. It watches the process, and reports once
 * when that ends by itself.
 */
export class Machine {
  readonly directory: string;
  readonly slot: NetworkSlot;
  /** Calls to the guest pass it; changes of the machine close it. */
  readonly gate: Gate;
  readonly process: MachineProcess;
  readonly channel: GuestChannel;
  #record: MachineRecord;
  #qmp: Qmp;
  /** Set once the machine is ended, or no longer watched, on purpose. */
  #ending = false;
  #shutdownReason: string | undefined;
  #failure: string | undefined;
  #fullDisk: FullDiskWatch;
  readonly #log: Logger;
  readonly #onEnd: (machine: Machine, reason: string) => void;

  constructor(parts: MachineParts, onEnd: (machine: Machine, reason: string) => void) {
    this.#record = parts.record;
    this.directory = parts.directory;
    this.slot = parts.slot;
    this.gate = parts.gate;
    this.process = parts.launched.process;
    this.channel = new GuestChannel({
      socketPath: join(this.runDirectory, machineFiles.agent),
      identity: () => identityOf(this.#record),
      heartbeat: { paused: () => this.#fullDisk.paused },
      prepare: (session, agent) => this.#bringEgress(session, agent, parts.egress),
    });
    this.#onEnd = onEnd;
    this.#qmp = parts.launched.qmp;
    this.#log = parts.log;
    this.#fullDisk = new FullDiskWatch(this.#qmp, this.id, this.#log);
    this.#watch();
  }

  /** A guest that cannot store the settings (its disk is full) runs without them. */
  async #bringEgress(session: ClientHttp2Session, agent: HandshakeAnswer, egress: Egress): Promise<void> {
    try {
      await bringEgress(session, agent, egress, false);
    } catch (error) {
      this.#log.warn(
        { machine: this.id, err: error },
        "a guest did not get the settings of the host's network",
      );
    }
  }

  get id(): string {
    return this.#record.id;
  }

  get record(): MachineRecord {
    return this.#record;
  }

  /** QEMU's working directory. */
  get runDirectory(): string {
    return runDirectory(this.directory, this.#record.run);
  }

  /** Changes its record, durably. */
  async save(change: Partial<MachineRecord>): Promise<void> {
    const record = { ...this.#record, ...change };
    await writeRecord(this.directory, record);
    this.#record = record;
  }

  /** The connection to its monitor. */
  get qmp(): Qmp {
    return this.#qmp;
  }

  /** Why it ended, once it has ended by itself. */
  get failure(): string | undefined {
    return this.#failure;
  }

  info(): MachineInfo {
    return machineInfo(this.#record, 'running');
  }

  /** Whether the processes of an earlier machine with this id go on in this one. */
  continues(earlier: Machine): boolean {
    if (this === earlier) return true;
    return this.#record.run === earlier.#record.run && this.#record.startedFrom === 'memory';
  }

  /** @throws ApiError `no_space` while the machine is paused because the host's disk is full */
  assertRuns(): void {
    this.#fullDisk.assertRuns();
  }

  /** Waits for something that the guest does. @throws ApiError `no_space` as soon as the machine is paused meanwhile */
  unlessFull<Result>(work: Promise<Result>): Promise<Result> {
    return this.#fullDisk.unlessFull(work);
  }

  /** @throws Error when its process has ended; a call that was not sent yet can be made again */
  assertAlive(): void {
    if (!isSameProcess(this.process.identity)) throw new Error('its QEMU process ended before it ran');
  }

  /** Finds out whether the machine was paused before this worker watched it. */
  async lookForFullDisk(): Promise<void> {
    try {
      await this.#fullDisk.look();
    } catch (error) {
      this.#log.warn({ machine: this.id, err: error }, 'the state of a machine is not known');
    }
  }

  /** From here on the end of the process is expected; calls to the machine still work. */
  expectShutdown(): void {
    this.#ending = true;
  }

  /** From here on the end of the process is expected, and it is no longer watched. */
  expectEnd(): void {
    this.#ending = true;
    this.channel.close();
    this.#qmp.close();
  }

  #watch(): void {
    this.#qmp.on('event', (name, data) => {
      if (name === 'SHUTDOWN' && typeof data['reason'] === 'string') this.#shutdownReason = data['reason'];
      const port = name === 'VSERPORT_CHANGE' && data['id'] === machineFiles.agentDevice;
      if (port && data['open'] === false) this.channel.guestLetGo();
    });
    this.#qmp.once('close', () => {
      if (!this.#ending) void this.#monitorClosed();
    });
    // If the process ended before we listened, the monitor is closed already.
    if (!this.#qmp.open) void this.#monitorClosed();
  }

  /** Either the process has ended, or only its monitor broke; then that is opened again. */
  async #monitorClosed(): Promise<void> {
    const reason = await this.#reconnect();
    if (reason === undefined || this.#ending) return;
    this.#ending = true;
    this.#failure = reason;
    this.channel.close();
    this.#onEnd(this, reason);
  }

  async #reconnect(): Promise<string | undefined> {
    const { identity } = this.process;
    if (await waitForExit(identity, exitMs)) return this.#explainEnd();
    try {
      const path = join(this.runDirectory, machineFiles.qmp);
      this.#qmp = await Qmp.connect(path, exitMs, () => isSameProcess(identity));
    } catch (error) {
      if (await waitForExit(identity, 0)) return this.#explainEnd();
      return `the monitor of its QEMU process broke: ${(error as Error).message}`;
    }
    if (this.#ending) {
      this.#qmp.close();
      return undefined;
    }
    this.#fullDisk = new FullDiskWatch(this.#qmp, this.id, this.#log);
    this.#watch();
    await this.lookForFullDisk();
    return undefined;
  }

  async #explainEnd(): Promise<string> {
    const { child } = this.process;
    const exit = child === undefined ? undefined : await exitOf(child);
    return describeEnd(this.#shutdownReason, exit, await lastLines(join(this.directory, machineLogFile)));
  }
}

/** What is reported to the server about a machine. */
export function machineInfo(record: MachineRecord, state: MachineState, reason?: string): MachineInfo {
  const { id, spec, accelerator, startedAt, startedFrom, coldBootReason, timings } = record;
  return {
    id,
    state,
    spec,
    accelerator,
    startedAt,
    startedFrom,
    timings,
    ...(reason === undefined ? {} : { reason }),
    ...(coldBootReason === undefined ? {} : { coldBootReason }),
    ...(state === 'hibernated' ? { hibernationBytes: record.hibernationBytes } : {}),
  };
}

/** How a process ended that is gone already; its exit code may come a moment later. */
async function exitOf(child: ChildProcess): Promise<string | number | undefined> {
  if (child.signalCode === null && child.exitCode === null) {
    const heard = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    await Promise.race([heard, delay(exitMs, undefined, { ref: false })]);
  }
  return child.signalCode ?? child.exitCode ?? undefined;
}

/** Why a machine ended, in words for its user. */
export function describeEnd(
  shutdownReason: string | undefined,
  exit: string | number | undefined,
  printed: string,
): string {
  if (shutdownReason === 'guest-shutdown') return 'the guest powered itself off';
  if (shutdownReason === 'guest-reset') return guestReset;
  if (shutdownReason === 'guest-panic') return "the guest's kernel crashed";
  const how =
    exit === undefined || exit === 0
      ? 'ended'
      : typeof exit === 'string'
        ? `was killed (${exit})`
        : `ended with code ${exit}`;
  return `its QEMU process ${how}${printed === '' ? '' : `: ${printed}`}`;
}

/** The error for a call to a machine that has ended. */
export function machineEnded(id: string, reason: string): ApiError {
  return new ApiError('sandbox_stopped', `sandbox ${id} has failed: ${reason}`);
}
