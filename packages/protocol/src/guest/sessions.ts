import { z } from 'zod';
import { execIdPattern } from '../ids.ts';
import type { JsonBounds } from '../json-guard.ts';
import { limits } from '../limits.ts';
import { terminalSizeSchema } from '../terminal-size.ts';
import { listOf } from './list.ts';
import { text } from './text.ts';

/** What a command is to its user. */
export const sessionKinds = ['run', 'session', 'pty', 'agent'] as const;
export type SessionKind = (typeof sessionKinds)[number];

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
