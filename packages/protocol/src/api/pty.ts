import { z } from 'zod';
import { limits } from '../limits.ts';
import { strictObject } from '../strict.ts';
import { terminalSizeSchema } from '../terminal-size.ts';
import { envSchema } from '../text.ts';
import { commandFields } from './exec.ts';
import type { Endpoint } from './endpoint.ts';
import { amongSessions, onSession, startingSession } from './refusals.ts';
import { attachDescription, sessionSchema } from './sessions.ts';

const size = (fallback: number) => z.number().int().min(1).max(limits.terminalMax).default(fallback);

/** Body of `POST /api/sandboxes/:id/pty`. */
export const createTerminalSchema = strictObject({
  cols: size(limits.terminalColsDefault),
  rows: size(limits.terminalRowsDefault),
  shell: z
    .string()
    .min(1)
    .max(limits.pathBytes)
    .refine((text) => !text.includes('\0'), 'must not hold NUL')
    .optional()
    .meta({ description: 'The program that runs in it; default /bin/bash, else /bin/sh.' }),
  cwd: commandFields.cwd,
  envs: envSchema.nullish(),
}).meta({ id: 'CreateTerminal' });
export type CreateTerminal = z.output<typeof createTerminalSchema>;

/** Answer of `POST /api/sandboxes/:id/pty`. */
export const terminalSchema = z
  .object({ sessionID: z.string(), sandboxID: z.string() })
  .meta({ id: 'Terminal' });
export type Terminal = z.infer<typeof terminalSchema>;

/** Endpoints of terminals. */
export const terminalEndpoints = {
  createTerminal: {
    method: 'POST',
    path: '/api/sandboxes/:id/pty',
    tag: 'pty',
    summary: 'Open a terminal with a shell in it',
    description: `Over the WebSocket go raw bytes both ways.${attachDescription}`,
    body: createTerminalSchema,
    success: { 201: terminalSchema },
    errors: startingSession,
    auth: 'data',
  },
  listTerminals: {
    method: 'GET',
    path: '/api/sandboxes/:id/pty',
    tag: 'pty',
    summary: 'List terminals, oldest first',
    success: { 200: z.array(sessionSchema) },
    errors: amongSessions,
    auth: 'data',
  },
  resizeTerminal: {
    method: 'POST',
    path: '/api/sandboxes/:id/pty/:execId/resize',
    tag: 'pty',
    summary: 'Change the size of a terminal',
    body: terminalSizeSchema,
    success: { 200: z.object({}) },
    errors: [...onSession, 'not_terminal', 'session_ended'],
    auth: 'data',
  },
  killTerminal: {
    method: 'DELETE',
    path: '/api/sandboxes/:id/pty/:execId',
    tag: 'pty',
    summary: 'Close a terminal and end what runs in it',
    description: 'Its processes get SIGHUP, and are killed two seconds later.',
    success: { 204: 'none' },
    errors: onSession,
    auth: 'data',
  },
} as const satisfies Record<string, Endpoint>;
