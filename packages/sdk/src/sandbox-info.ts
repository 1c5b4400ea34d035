import { invalidOption } from './invalid-option.ts';
import type { ConnectionOptions } from './config.ts';
import type { SandboxStatus, WireSandbox } from './wire.ts';

/** Options of `Sandbox.create`. */
export interface SandboxOptions extends ConnectionOptions {
  /** Template of the root file system. Default `base`. */
  template?: string | undefined;
  /** Idle timeout in seconds; every use restarts it. 0: never. Default 300. */
  timeout?: number | undefined;
  /** Environment variables of every command. */
  envs?: Record<string, string> | undefined;
  /** Your own key-value pairs, stored with the sandbox; `Sandbox.list` filters by them. */
  metadata?: Record<string, string> | undefined;
  /** Virtual CPUs, 1 to 4. Default: the server's, 1. */
  cpuCount?: number | undefined;
  /** Memory in MiB, 128 to 2048 unless the server allows more. Default: the server's, 1024. */
  memoryMB?: number | undefined;
  /** Root disk in MiB. Default: the server's, 20480. */
  diskMB?: number | undefined;
}

/** Options of `Sandbox.list`. */
export interface ListOptions extends ConnectionOptions {
  /** Only sandboxes of this status. Default: all that have not stopped. */
  status?: SandboxStatus | 'all' | undefined;
  /** Only sandboxes whose metadata contains all of these. */
  metadata?: Record<string, string> | undefined;
  /** Sandboxes per page, at most 1000. Default 200. */
  limit?: number | undefined;
  /** Begins with this page: `nextCursor` of the one before. */
  cursor?: string | undefined;
}

/** The oldest session that was in use when an idle timeout was over. */
export interface KeptAwakeBy {
  sessionID: string;
  command: string;
  /** How many sessions were in use. */
  sessions: number;
  /** When that was seen. */
  at: Date;
}

/** What is known about a sandbox, as of the last answer about it. */
export interface SandboxInfo {
  sandboxId: string;
  status: SandboxStatus;
  /** Why it is hibernated, stopped or failed. */
  statusReason: string | undefined;
  template: string;
  cpuCount: number;
  memoryMB: number;
  diskMB: number;
  metadata: Readonly<Record<string, string>>;
  /** Idle timeout in seconds; 0 means never. */
  timeout: number;
  startedAt: Date;
  /** When it expires if nothing happens; undefined when never. */
  endAt: Date | undefined;
  /** Why it did not hibernate when its idle timeout was over the last time. */
  keptAwakeBy: KeptAwakeBy | undefined;
  /** Since when it is hibernated. */
  hibernatedAt: Date | undefined;
  /** What its current run started from: memory, with its processes, or its disk alone. */
  startedFrom: 'memory' | 'disk' | undefined;
  /** Why it was started from its disk where its memory was asked for: processes were lost. */
  coldBootReason: string | undefined;
  /** The checkpoint that it was forked from. */
  fromCheckpointId: string | undefined;
  /** Why a patch of its checkpoint failed. */
  patchError: string | undefined;
  region: string;
  workerId: string;
  /** True where the host has no KVM: software emulation is not an isolation boundary. */
  emulated: boolean;
}

/** The server's value for "never" where a time is expected. */
const never = '0001-01-01T00:00:00Z';

/** The server's data in the terms of this package. */
export function toSandboxInfo(wire: WireSandbox): SandboxInfo {
  return {
    sandboxId: wire.sandboxID,
    status: wire.status,
    statusReason: wire.statusReason,
    template: wire.templateID,
    cpuCount: wire.cpuCount,
    memoryMB: wire.memoryMB,
    diskMB: wire.diskMB,
    metadata: { ...wire.metadata },
    timeout: wire.timeout,
    startedAt: new Date(wire.startedAt),
    endAt: wire.endAt === never ? undefined : new Date(wire.endAt),
    keptAwakeBy:
      wire.keptAwakeBy === undefined ? undefined : { ...wire.keptAwakeBy, at: new Date(wire.keptAwakeBy.at) },
    hibernatedAt: wire.hibernatedAt === undefined ? undefined : new Date(wire.hibernatedAt),
    startedFrom: wire.startedFrom,
    coldBootReason: wire.coldBootReason,
    fromCheckpointId: wire.fromCheckpointId,
    patchError: wire.patchError,
    region: wire.region,
    workerId: wire.workerID,
    emulated: wire.emulated,
  };
}

/** @throws InvalidRequestError when the id would name another endpoint. */
export function sandboxPath(sandboxId: string): string {
  if (typeof sandboxId !== 'string' || !/^[\w-]+$/.test(sandboxId))
    throw invalidOption(`${JSON.stringify(sandboxId)} is not a sandbox id`, 'Ids look like sb-0a1b2c3d.');
  return `/sandboxes/${sandboxId}`;
}
