import { z } from 'zod';
import { execIdPattern } from './ids.ts';
import type { JsonBounds } from './json-guard.ts';
import { limits } from './limits.ts';
import { logSources } from './logs.ts';
import { strictObject } from './strict.ts';

/**
 * The API between worker and guest agent: HTTP/2 on the virtio-serial port. The guest is hostile: every answer is
 * parsed with these schemas, which bound what they accept. The protocol is append-only; see agent/README.md.
 */
export const agentPortName = 'opencomputer.agent';
export const agentProtocol = 1;

/** A list of at most `max`, of which checking ends at the first that is wrong: a hostile one may be all wrong. */
export function listOf<Schema extends z.ZodType>(schema: Schema, max: number) {
  return z
    .array(z.unknown())
    .max(max)
    .transform((values, context): z.output<Schema>[] => {
      const list: z.output<Schema>[] = [];
      for (const value of values) {
        const one = schema.safeParse(value);
        if (!one.success) {
          const path = [list.length, ...(one.error.issues[0]?.path ?? [])];
          context.addIssue({ code: 'custom', path, message: one.error.issues[0]?.message });
          return z.NEVER;
        }
        list.push(one.data);
      }
      return list;
    });
}

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

/** What a guest needs to get out through the network of its host. */
export interface Egress {
  /** Names the rest; empty when there is nothing. */
  digest: string;
  /** PEM blocks of certificates that the guest trusts beside its own. */
  certificates: readonly string[];
  /** Variables for every program of the guest. */
  environment: Readonly<Record<string, string>>;
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
  /** How long this process of the agent has run; older agents do not say it. */
  agentUptimeMs: z.number().min(0).optional(),
  init: z.enum(['systemd', 'agent']),
  memoryBytes: z.number().min(0),
  /** Digest of what the guest has of the host's network; absent in agents that know nothing of it. */
  egress: text(64).optional(),
});
export type HandshakeAnswer = z.infer<typeof handshakeAnswerSchema>;

/** What a command is to its user. */
export const sessionKinds = ['run', 'session', 'pty', 'agent'] as const;
export type SessionKind = (typeof sessionKinds)[number];

/** Since this generation of the agent commands can be attached to. */
export const sessionsGeneration = 2;
/** Since this generation the agent tells what is in use. */
export const useGeneration = 3;
/** Since this generation a command can be kept out of logs and lists. */
export const quietGeneration = 4;

export const terminalSizeSchema = strictObject({
  cols: z.number().int().min(1).max(limits.terminalMax),
  rows: z.number().int().min(1).max(limits.terminalMax),
});
export type TerminalSize = z.infer<typeof terminalSizeSchema>;

/** A command for the agent; the server makes it from a client's request. */
export const guestExecRequestSchema = z.object({
  id: z.string().regex(execIdPattern).optional(),
  /** Bounded by the body: the kernel has the last word on its size. */
  argv: z.array(z.string()).min(1),
  cwd: text(4096).optional(),
  env: z.record(z.string(), z.string()).optional(),
  user: z.enum(['sandbox', 'root']).optional(),
  /** Kill after this many milliseconds; 0 is never. */
  timeoutMs: z.number().int().min(0).optional(),
  /** Output kept, both streams together. */
  bufferBytes: z.number().int().min(1024).optional(),
  /** Answer after this long even if it still runs; absent: wait for the end. */
  waitMs: z.number().int().min(0).optional(),
  /** What it is to its user; kept and listed. From here on: agents of generation 2. */
  kind: z.enum(sessionKinds).optional(),
  /** Its standard input is a pipe that whoever attaches writes to; otherwise it is /dev/null. */
  stdin: z.boolean().optional(),
  /** It runs in a terminal of this size, in characters. */
  tty: terminalSizeSchema.optional(),
  /** Kill it when nobody has been attached for so long after the last one left; 0 is never. */
  maxRunAfterDisconnectMs: z.number().int().min(0).optional(),
  /** Until somebody attaches for the first time, hold it back at most so long rather than lose output. */
  holdMs: z.number().int().min(0).optional(),
  /** false: it does not keep the sandbox awake. Agents of generation 3; others take no notice. */
  keepAwake: z.boolean().optional(),
  /** The logs say nothing of it. From here on: agents of generation 4. */
  unlogged: z.boolean().optional(),
  /** It is nobody's command, such as a transfer of files; listed as such. */
  unlisted: z.boolean().optional(),
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

/** A command as the agent lists it. */
export const guestSessionSchema = guestExecResultSchema.omit({ stdout: true, stderr: true }).extend({
  argv: z.array(text(limits.jsonBodyBytes)).max(1100),
  kind: text(16).default('run'),
  /** How many are attached now. */
  attached: z.number().int().min(0).default(0),
  tty: z.boolean().default(false),
  stdin: z.boolean().default(false),
  /** Whether it keeps the sandbox awake. */
  keepAwake: z.boolean().default(true),
  unlisted: z.boolean().default(false),
});
export type GuestSession = z.infer<typeof guestSessionSchema>;

/** Most bytes of a list of commands, and what they may hold: little but the text of arguments. */
export const guestSessionListBytes = 8 * 1024 * 1024;
const listedSessionsMax = 8192;
export const guestSessionListJson: JsonBounds = { containers: 2 * listedSessionsMax + 2, commas: 200_000 };
export const guestSessionListSchema = z.object({ sessions: listOf(guestSessionSchema, listedSessionsMax) });

/** What keeps a sandbox awake; `agent/internal/session/use.go` draws the line. */
export const guestUseSchema = z.object({
  /** Sessions in use, oldest first; the first few. */
  sessions: z
    .array(z.object({ id: z.string().regex(execIdPattern), kind: text(16), command: text(256) }))
    .max(8),
  /** How many are in use. */
  count: z.number().int().min(0),
  /** How long ago the last use ended; null when nothing was in use yet. */
  idleMs: z.number().min(0).nullable(),
});
export type GuestUse = z.infer<typeof guestUseSchema>;

/** Who writes the input of a session: remembered by the agent, so that it takes every byte once. */
export const attachClientPattern = /^[A-Za-z0-9_-]{1,64}$/;

/** Most bytes of one line of the agent's log, as JSON. */
export const guestLogLineBytes = 256 * 1024;
export const guestLogLineSchema = z.object({
  time: text(64),
  source: z.enum(logSources),
  line: text(64 * 1024),
  path: text(4096).optional(),
  execId: z.string().regex(execIdPattern).optional(),
  command: text(4096).optional(),
  argv: z
    .array(text(64 * 1024))
    .max(1100)
    .optional(),
  exitCode: z.number().int().optional(),
});
export type GuestLogLine = z.infer<typeof guestLogLineSchema>;

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

/** An entry of a list; whoever asked knows the directory that it is in. */
export const listedFileSchema = guestFileEntrySchema.omit({ path: true });
export type ListedFile = z.infer<typeof listedFileSchema>;

/** A list as agents sent it before they sent lines (file-list.ts): one document, of which little is taken. */
export const guestFileListSchema = z.object({
  entries: listOf(listedFileSchema, limits.listedFiles),
  truncated: z.boolean(),
});

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
  egress: '/v1/egress',
  exec: '/v1/exec',
  use: '/v1/use',
  files: '/v1/files',
  logs: '/v1/logs',
  stats: '/v1/stats',
} as const;
