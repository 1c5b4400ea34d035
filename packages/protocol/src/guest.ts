import { z } from 'zod';
import { execIdPattern } from './ids.ts';

/**
 * The API between worker and guest agent: HTTP/2 on the virtio-serial port. The guest is hostile: every answer is
 * parsed with these schemas, which bound what they accept. The protocol is append-only; see agent/README.md.
 */
export const agentPortName = 'opencomputer.agent';
export const agentProtocol = 1;

const text = (max: number) => z.string().max(max);

/** What makes a restored machine itself. Everything that is given is applied before the answer. */
export interface Identity {
  /** Unix time in nanoseconds, decimal. */
  clockUnixNs?: string;
  /** 32 to 512 random bytes, base64. */
  entropy?: string;
  hostname?: string;
  /** 32 hex digits. */
  machineId?: string;
  env?: Record<string, string>;
}

export interface HandshakeRequest {
  protocol: typeof agentProtocol;
  epoch: string;
  identity?: Identity;
}

export const handshakeAnswerSchema = z.object({
  protocol: z.literal(agentProtocol),
  generation: z.number().int().min(1).max(1_000_000),
  version: text(64),
  epoch: text(64),
  bootId: text(64),
  uptimeMs: z.number().min(0),
  init: z.enum(['systemd', 'agent']),
  memoryBytes: z.number().min(0),
});
export type HandshakeAnswer = z.infer<typeof handshakeAnswerSchema>;

/** A command for the agent; the server makes it from a client's request. */
export const guestExecRequestSchema = z.object({
  id: z.string().regex(execIdPattern).optional(),
  argv: z.array(z.string()).min(1).max(1100),
  cwd: text(4096).optional(),
  env: z.record(z.string(), z.string()).optional(),
  user: z.enum(['sandbox', 'root']).optional(),
  /** Kill after this many milliseconds; 0 is never. */
  timeoutMs: z.number().int().min(0).optional(),
  /** Output kept, both streams together. */
  bufferBytes: z.number().int().min(1024).optional(),
  /** Answer after this long even if it still runs; absent: wait for the end. */
  waitMs: z.number().int().min(0).optional(),
});
export type GuestExecRequest = z.infer<typeof guestExecRequestSchema>;

/** 16 MiB of output as base64, the most that an agent may keep, and the rest of the object. */
export const guestExecResultBytes = 24 * 1024 * 1024;

export const guestExecResultSchema = z.object({
  id: z.string().regex(execIdPattern),
  running: z.boolean(),
  exitCode: z.number().int().min(-2147483648).max(2147483647).nullable(),
  signal: z.number().int().min(0).max(128).nullish(),
  timedOut: z.boolean(),
  truncated: z.boolean(),
  stdout: z.base64(),
  stderr: z.base64(),
  startedAt: text(64),
  durationMs: z.number().min(0),
});
export type GuestExecResult = z.infer<typeof guestExecResultSchema>;

export const guestFileEntrySchema = z.object({
  name: text(4096),
  path: text(8192),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  isDir: z.boolean(),
  size: z.number().int().min(0),
  mode: text(8),
  uid: z.number().int().min(0),
  gid: z.number().int().min(0),
  modifiedAt: text(64),
});
export type GuestFileEntry = z.infer<typeof guestFileEntrySchema>;

export const guestFileListSchema = z.object({
  entries: z.array(guestFileEntrySchema).max(100_000),
  truncated: z.boolean(),
});
export type GuestFileList = z.infer<typeof guestFileListSchema>;

export const guestStatsSchema = z.object({
  memoryTotalBytes: z.number().min(0),
  memoryAvailableBytes: z.number().min(0),
  diskTotalBytes: z.number().min(0),
  diskFreeBytes: z.number().min(0),
  load1: z.number().min(0),
  processes: z.number().int().min(0),
  uptimeMs: z.number().min(0),
});
export type GuestStats = z.infer<typeof guestStatsSchema>;

export const guestErrorSchema = z.object({ error: z.object({ code: text(64), message: text(4096) }) });

/** Paths of the agent's API. */
export const agentPaths = {
  handshake: '/v1/handshake',
  quiesce: '/v1/quiesce',
  exec: '/v1/exec',
  files: '/v1/files',
  stats: '/v1/stats',
} as const;
