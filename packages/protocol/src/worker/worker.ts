import { z } from 'zod';

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
 *                                                 Upgrade: opencomputer-exec -> 101, then the guest agent's frames both ways
 *     GET    /v1/machines/:id/logs?               NDJSON stream of GuestLogLine
 *     GET    /v1/machines/:id/files?path=         bytes          PUT, DELETE the same
 *     GET    /v1/machines/:id/files/list?path=    lines of a list (file-list.ts)
 *     GET    /v1/machines/:id/files/stat?path=    GuestFileEntry
 *     POST   /v1/machines/:id/files/mkdir?path=   204
 *     GET    /v1/machines/:id/stats               GuestStats
 */
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

export const workerInfoSchema = z.object({
  /** Stays the same for as long as its data directory does. */
  workerId: z.string().min(1).max(253),
  version: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  accelerationReason: z.string(),
  networkMode: z.enum(['namespace', 'user']),
  qemuVersion: z.string(),
  templates: z.array(z.string()),
  machines: z.number().int(),
  committedMemoryMB: z.number().int(),
  freeDiskMB: z.number().int(),
  /** What it takes at most, while the readings of its host allow that. Absent in workers of older releases. */
  capacity: z
    .object({
      machines: z.number().int().nonnegative(),
      /** Memory of all machines that run. */
      memoryMB: z.number().int().nonnegative(),
    })
    .optional(),
});
export type WorkerInfo = z.infer<typeof workerInfoSchema>;
