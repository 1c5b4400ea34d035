import { z } from 'zod';
import { execIdPattern } from '../ids.ts';
import type { JsonBounds } from '../json-guard.ts';
import { limits } from '../limits.ts';
import { terminalSizeSchema } from '../terminal-size.ts';
import { listOf } from './list.ts';
import { text } from './text.ts';

/**
 * What kind of session a command is: `run` is waited for by its caller; `session`, in the product's words a detached
 * command, goes on without one; `pty` runs in a terminal; `agent` is a coding agent. The words are fixed: snapshots
 * keep guest agents that know them.
 */
export const sessionKinds = ['run', 'session', 'pty', 'agent'] as const;
export type SessionKind = (typeof sessionKinds)[number];

/** A command for the guest agent; the server makes it from a client's request. */
export const guestExecRequestSchema = z.object({
  id: z.string().regex(execIdPattern).optional(),
  /** Bounded by the size of the body; Linux has limits of its own. */
  argv: z.array(z.string()).min(1),
  cwd: text(4096).optional(),
  env: z.record(z.string(), z.string()).optional(),
  user: z.enum(['sandbox', 'root']).optional(),
  /** Kill after this many milliseconds; 0 is never. */
  timeoutMs: z.number().int().min(0).optional(),
  /** How much output is kept, both streams together. */
  bufferBytes: z.number().int().min(1024).optional(),
  /** Answer after this time even if the command still runs; absent: wait for its end. */
  waitMs: z.number().int().min(0).optional(),
  /** Its kind, which is kept and listed. From here on: guest agents of generation 2. */
  kind: z.enum(sessionKinds).optional(),
  /** Its standard input is a pipe to which attached clients write; otherwise it is /dev/null. */
  stdin: z.boolean().optional(),
  /** It runs in a terminal of this size, in characters. */
  tty: terminalSizeSchema.optional(),
  /** Kill it when nobody has been attached for this time since the last client left; 0 is never. */
  maxRunAfterDisconnectMs: z.number().int().min(0).optional(),
  /** How long the command may be blocked, rather than lose output, until a client attaches for the first time. */
  holdMs: z.number().int().min(0).optional(),
  /** false: it does not keep the sandbox awake. Guest agents of generation 3; older ones ignore it. */
  keepAwake: z.boolean().optional(),
  /** It is kept out of the logs. From here on: guest agents of generation 4. */
  unlogged: z.boolean().optional(),
  /** It is not a user's command, for example a transfer of files; lists mark it. */
  unlisted: z.boolean().optional(),
});
export type GuestExecRequest = z.infer<typeof guestExecRequestSchema>;

/** 16 MiB of output as base64, the most that a guest agent may keep, and the rest of the object. */
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

/** A command as the guest agent lists it. */
export const guestSessionSchema = guestExecResultSchema.omit({ stdout: true, stderr: true }).extend({
  argv: z.array(text(limits.jsonBodyBytes)).max(1100),
  kind: text(16).default('run'),
  /** How many clients are attached now. */
  attached: z.number().int().min(0).default(0),
  tty: z.boolean().default(false),
  stdin: z.boolean().default(false),
  /** Whether it keeps the sandbox awake. */
  keepAwake: z.boolean().default(true),
  unlisted: z.boolean().default(false),
});
export type GuestSession = z.infer<typeof guestSessionSchema>;

/** Most bytes of a list of commands, and the bounds of its JSON: it is mostly the text of arguments. */
export const guestSessionListBytes = 8 * 1024 * 1024;
const listedSessionsMax = 8192;
export const guestSessionListJson: JsonBounds = { containers: 2 * listedSessionsMax + 2, commas: 200_000 };
export const guestSessionListSchema = z.object({ sessions: listOf(guestSessionSchema, listedSessionsMax) });

/** What keeps a sandbox awake; `agent/internal/session/use.go` decides what does. */
export const guestUseSchema = z.object({
  /** The first few sessions in use, oldest first. */
  sessions: z
    .array(z.object({ id: z.string().regex(execIdPattern), kind: text(16), command: text(256) }))
    .max(8),
  /** How many sessions are in use. */
  count: z.number().int().min(0),
  /** How long ago the last use ended; null when nothing was in use yet. */
  idleMs: z.number().min(0).nullable(),
});
export type GuestUse = z.infer<typeof guestUseSchema>;
