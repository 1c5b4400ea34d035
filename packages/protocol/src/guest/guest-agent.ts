import { z } from 'zod';
import { text } from './text.ts';

/**
 * The API between worker and guest agent: HTTP/2 on the virtio-serial port. The guest is hostile: every answer is
 * parsed with these schemas, which bound what they accept. The protocol is append-only; see agent/README.md.
 */
export const guestPortName = 'opencomputer.agent';
export const guestProtocol = 1;

/** From this generation of the guest agent on, clients can attach to commands. */
export const sessionsGeneration = 2;
/** From this generation on, the guest agent reports what is in use. */
export const useGeneration = 3;
/** From this generation on, a command can be kept out of logs and lists. */
export const quietGeneration = 4;

/** Paths of the guest agent's API. */
export const guestPaths = {
  handshake: '/v1/handshake',
  quiesce: '/v1/quiesce',
  egress: '/v1/egress',
  exec: '/v1/exec',
  use: '/v1/use',
  files: '/v1/files',
  logs: '/v1/logs',
  stats: '/v1/stats',
} as const;

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
