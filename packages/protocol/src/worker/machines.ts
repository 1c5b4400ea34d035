import { z } from 'zod';
import { limits } from '../limits.ts';
import { sandboxIdPattern } from '../ids.ts';

/**
 * The API between server and worker: HTTP/1.1 on a unix socket (standalone).
 * A machine has the id of its sandbox. Errors have the same body as towards clients.
 *
 *     GET    /v1/worker                           WorkerInfo
 *     GET    /v1/machines                         { machines: MachineInfo[] }
 *     GET    /v1/machines/:id                     MachineInfo
 *     PUT    /v1/machines/:id                     MachineSpec -> MachineInfo once it is ready; the same call again is the same machine
 *     DELETE /v1/machines/:id                     204, also when there is none
 *     POST   /v1/machines/:id/hibernate           { sizeBytes }; a hibernated machine stays so
 *     POST   /v1/machines/:id/wake                MachineInfo; a running machine stays so, a failed one boots from its disk
 *     POST   /v1/machines/:id/reboot              { hard } -> MachineInfo, from its disk; a failed one too
 *     POST   /v1/machines/:id/restore             { snapshot } -> MachineInfo, with the memory and disk of the snapshot
 *     PUT    /v1/snapshots/:snapshotId            { machine, kind, requireQuiesced? } -> SnapshotInfo; the same call again is the same snapshot
 *     GET    /v1/snapshots                        { snapshots: SnapshotInfo[], damaged: ids }
 *     DELETE /v1/snapshots/:snapshotId            204, also when there is none
 *     GET    /v1/events                           NDJSON stream of MachineEvent; first line { type: "hello" }
 *     POST   /v1/machines/:id/exec                GuestExecRequest -> GuestExecResult
 *     GET    /v1/machines/:id/exec/:execId        GuestExecResult; ?waitMs=
 *     POST   /v1/machines/:id/exec/:execId/signal { signal }
 *     GET    /v1/machines/:id/exec                { sessions: GuestSession[] }
 *     GET    /v1/machines/:id/use                 GuestUse
 *     POST   /v1/machines/:id/exec/:execId/resize { cols, rows }
 *     POST   /v1/machines/:id/exec/:execId/attach?from=&client=&acks=
 *                                                 Upgrade: opencomputer-exec -> 101, then the agent's frames both ways
 *     GET    /v1/machines/:id/logs?               NDJSON stream of GuestLogLine
 *     GET    /v1/machines/:id/files?path=         bytes          PUT, DELETE the same
 *     GET    /v1/machines/:id/files/list?path=    lines of a list (file-list.ts)
 *     GET    /v1/machines/:id/files/stat?path=    GuestFileEntry
 *     POST   /v1/machines/:id/files/mkdir?path=   204
 *     GET    /v1/machines/:id/stats               GuestStats
 */
export const machineSpecSchema = z.object({
  template: z.string().min(1).max(128),
  cpuCount: z.number().int().min(1).max(64),
  memoryMB: z
    .number()
    .int()
    .min(limits.memoryMBMin)
    .max(1024 * 1024),
  diskMB: z.number().int().min(1).max(limits.diskMBMax),
  hostname: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  env: z.record(z.string(), z.string()),
  /** Begin as a fork of this snapshot instead of the template; CPU, memory and disk are then the snapshot's. */
  snapshot: z.uuid().optional(),
});
export type MachineSpec = z.infer<typeof machineSpecSchema>;

/**
 * running: usable; hibernated: memory and disk are on disk, nothing runs; failed: its process ended unexpectedly, and
 * its disk is kept until it is deleted.
 */
export const machineStates = ['running', 'hibernated', 'failed'] as const;
export type MachineState = (typeof machineStates)[number];

export const machineInfoSchema = z.object({
  id: z.string().regex(sandboxIdPattern),
  state: z.enum(machineStates),
  reason: z.string().optional(),
  spec: machineSpecSchema,
  accelerator: z.enum(['kvm', 'tcg']),
  startedAt: z.string(),
  /** What its present run began from: memory and processes, or its disk alone. */
  startedFrom: z.enum(['memory', 'disk']),
  /** Why it began from its disk where its memory was asked for. */
  coldBootReason: z.string().optional(),
  /** Bytes that its saved memory occupies while it is hibernated. */
  hibernationBytes: z.number().int().optional(),
  /** Milliseconds of each phase of the start, by name. */
  timings: z.record(z.string(), z.number()),
});
export type MachineInfo = z.infer<typeof machineInfoSchema>;

export const machineListSchema = z.object({ machines: z.array(machineInfoSchema) });

export const snapshotKinds = ['full', 'disk_only'] as const;
export type SnapshotKind = (typeof snapshotKinds)[number];

/** Body of `PUT /v1/snapshots/:snapshotId`. */
export const snapshotRequestSchema = z.object({
  machine: z.string().regex(sandboxIdPattern),
  kind: z.enum(snapshotKinds),
  /** Refuse it where the guest cannot be quiesced, instead of saving it as it is. */
  requireQuiesced: z.boolean().optional(),
});
export type SnapshotRequest = z.infer<typeof snapshotRequestSchema>;

export const snapshotInfoSchema = z.object({
  id: z.uuid(),
  kind: z.enum(snapshotKinds),
  cpuCount: z.number().int(),
  memoryMB: z.number().int(),
  diskMB: z.number().int(),
  /** What it occupies by itself: its memory image and the disk layer that it added. */
  sizeBytes: z.number().int().min(0),
  createdAt: z.string(),
  /** How long the machine stood still, in milliseconds. */
  pauseMs: z.number(),
  /** Whether the guest came to rest and wrote out its file system first; absent of older workers. */
  quiesced: z.boolean().optional(),
});
export type SnapshotInfo = z.infer<typeof snapshotInfoSchema>;

export const snapshotListSchema = z.object({
  snapshots: z.array(snapshotInfoSchema),
  /** Ids of those that are there, but whose description is damaged. */
  damaged: z.array(z.string()).default([]),
});
export type SnapshotList = z.infer<typeof snapshotListSchema>;
export const hibernationSchema = z.object({ sizeBytes: z.number().int().min(0) });
export const rebootRequestSchema = z.object({ hard: z.boolean() });
export const restoreRequestSchema = z.object({ snapshot: z.uuid() });

export const workerInfoSchema = z.object({
  workerId: z.string(),
  version: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  accelerationReason: z.string(),
  networkMode: z.enum(['namespace', 'user']),
  qemuVersion: z.string(),
  templates: z.array(z.string()),
  machines: z.number().int(),
  committedMemoryMB: z.number().int(),
  freeDiskMB: z.number().int(),
});
export type WorkerInfo = z.infer<typeof workerInfoSchema>;

export const machineEventSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('hello') }),
  z.object({ type: z.literal('heartbeat') }),
  z.object({ type: z.literal('machineFailed'), id: z.string().regex(sandboxIdPattern), reason: z.string() }),
  /** Its guest restarted by itself: it was booted again from its disk. */
  z.object({ type: z.literal('machineRestarted'), id: z.string().regex(sandboxIdPattern) }),
]);
export type MachineEvent = z.infer<typeof machineEventSchema>;

/** What a connection to the worker is upgraded to for the frames of a session. */
export const attachProtocol = 'opencomputer-exec';

/** Paths of the worker's API. */
export const workerPaths = {
  worker: '/v1/worker',
  machines: '/v1/machines',
  events: '/v1/events',
  machine: (id: string) => `/v1/machines/${id}`,
  exec: (id: string) => `/v1/machines/${id}/exec`,
  use: (id: string) => `/v1/machines/${id}/use`,
  execResult: (id: string, execId: string) => `/v1/machines/${id}/exec/${execId}`,
  execSignal: (id: string, execId: string) => `/v1/machines/${id}/exec/${execId}/signal`,
  execResize: (id: string, execId: string) => `/v1/machines/${id}/exec/${execId}/resize`,
  execAttach: (id: string, execId: string) => `/v1/machines/${id}/exec/${execId}/attach`,
  logs: (id: string) => `/v1/machines/${id}/logs`,
  files: (id: string) => `/v1/machines/${id}/files`,
  hibernate: (id: string) => `/v1/machines/${id}/hibernate`,
  wake: (id: string) => `/v1/machines/${id}/wake`,
  reboot: (id: string) => `/v1/machines/${id}/reboot`,
  restore: (id: string) => `/v1/machines/${id}/restore`,
  snapshots: '/v1/snapshots',
  snapshot: (id: string) => `/v1/snapshots/${id}`,
  stats: (id: string) => `/v1/machines/${id}/stats`,
} as const;
