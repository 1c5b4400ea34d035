import { z } from 'zod';
import { commandFields, commandFits, commandTooLarge, visibilityFields } from './exec.ts';
import { attachClientPattern } from '../ids.ts';
import { terminalSizeSchema } from '../terminal-size.ts';
import { limits } from '../limits.ts';
import { strictObject } from '../strict.ts';
import type { Endpoint } from './endpoint.ts';
import { onSession, amongSessions, startingSession } from './refusals.ts';

/** Body of `POST /api/sandboxes/:id/exec`. */
export const createSessionSchema = strictObject({
  ...commandFields,
  ...visibilityFields,
  timeout: z
    .number()
    .int()
    .min(0)
    .max(limits.timeoutSecondsMax)
    .nullish()
    .meta({ description: 'Seconds until the command is killed; 0 or absent: never.' }),
  maxRunAfterDisconnect: z.number().int().min(0).max(limits.runAfterDisconnectSecondsMax).nullish().meta({
    description: 'Seconds that it runs on after the last client has left; 0 or absent: for ever.',
  }),
  keepAwake: z.boolean().nullish().meta({
    description:
      'false: a service in the background, which does not keep the sandbox from hibernating. By default a command is use until it ends.',
  }),
})
  .refine(commandFits, commandTooLarge)
  .meta({ id: 'CreateSession' });
export type CreateSession = z.output<typeof createSessionSchema>;

/** A command that clients attach to. */
export const sessionSchema = z
  .object({
    sessionID: z.string().meta({ example: '3f9a01bc' }),
    sandboxID: z.string(),
    command: z.string(),
    args: z.array(z.string()),
    running: z.boolean(),
    exitCode: z.number().int().optional().meta({ description: 'Once it has ended.' }),
    startedAt: z.string(),
    attachedClients: z.number().int(),
  })
  .meta({ id: 'Session' });
export type Session = z.infer<typeof sessionSchema>;

/** Body of a kill. */
export const killSchema = strictObject({
  signal: z.number().int().min(1).max(64).nullish().meta({
    description: 'Number of the signal, sent to the process group; default 9, which ends children too.',
  }),
}).meta({ id: 'Kill' });

/** Query of the upgrade to a WebSocket. */
export const attachQuerySchema = z.object({
  from: z
    .string()
    .regex(/^(end|\d{1,15})$/, 'expected an offset in bytes, or "end"')
    .optional()
    .meta({
      description:
        'Replay from this offset in all output ever printed. If it is given, the frames 0x05 to 0x07 are sent, too.',
    }),
  client: z
    .string()
    .regex(attachClientPattern, 'expected up to 64 letters, digits, - and _')
    .optional()
    .meta({ description: 'Names the writer, so that input sent again after a reconnect is taken once.' }),
  replay: z.enum(['0', '1']).optional().meta({ description: 'Of a terminal: all that is kept, or nothing.' }),
});
export type AttachQuery = z.output<typeof attachQuerySchema>;

/** How clients attach to sessions of any kind, for descriptions of endpoints. */
export const attachDescription =
  ' `GET` with `Upgrade: websocket` on the path of one session attaches to it; the guide on live work has the frames.';

/** Endpoints of commands that clients attach to. */
export const sessionEndpoints = {
  createSession: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec',
    tag: 'exec',
    summary: 'Start a command to attach to',
    description: `A session runs on without clients and through hibernation; what it prints is kept, the newest 1 MiB.${attachDescription}`,
    body: createSessionSchema,
    success: { 201: sessionSchema },
    errors: startingSession,
    auth: 'data',
  },
  listSessions: {
    method: 'GET',
    path: '/api/sandboxes/:id/exec',
    tag: 'exec',
    summary: 'List sessions, oldest first',
    description:
      'Ended ones as well, as long as their exit code is kept: the newest 512. Commands of `run` only while they run.',
    success: { 200: z.array(sessionSchema) },
    errors: [...amongSessions, 'too_large'],
    auth: 'data',
  },
  killSession: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec/:execId/kill',
    tag: 'exec',
    summary: 'Send a signal to a session',
    description: 'A session that has ended is a success.',
    body: killSchema,
    success: { 200: z.object({}) },
    errors: onSession,
    auth: 'data',
  },
  resizeSession: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec/:execId/resize',
    tag: 'exec',
    summary: 'Change the size of the terminal of a session',
    body: terminalSizeSchema,
    success: { 200: z.object({}) },
    errors: [...onSession, 'not_terminal', 'session_ended'],
    auth: 'data',
  },
} as const satisfies Record<string, Endpoint>;
