import { z } from 'zod';
import { agentSessionSchema, promptSchema, startAgentSchema } from '../agent-sessions.ts';
import { terminalSizeSchema } from '../../terminal-size.ts';
import { logsQuerySchema } from '../logs.ts';
import type { Operation } from './operation.ts';
import {
  createSessionSchema,
  createTerminalSchema,
  killSchema,
  sandboxTokenSchema,
  sessionSchema,
  terminalSchema,
} from '../sessions.ts';

const inGuest = [
  'sandbox_not_found',
  'sandbox_stopped',
  'worker_unavailable',
  'shutting_down',
  'too_many_sandboxes',
  'no_capacity',
  'no_space',
  'creation_failed',
  'conflict',
  'guest_failed',
  'guest_timeout',
  'unsupported_guest',
  'forbidden',
] as const;
const starting = [...inGuest, 'command_not_started', 'too_many_commands'] as const;
const onSession = [...inGuest, 'exec_not_found', 'result_not_kept'] as const;
const nothing = z.object({});
const attaching =
  ' `GET` with `Upgrade: websocket` on the path of one session attaches to it; the guide on live work has the frames.';

/** Routes of sessions, terminals, agents and logs. */
export const liveOperations = {
  createSession: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec',
    tag: 'exec',
    summary: 'Start a command to attach to',
    description: `A session runs on without clients and through hibernation; what it prints is kept, the newest 1 MiB.${attaching}`,
    body: createSessionSchema,
    success: { 201: sessionSchema },
    errors: starting,
    auth: 'data',
  },
  listSessions: {
    method: 'GET',
    path: '/api/sandboxes/:id/exec',
    tag: 'exec',
    summary: 'List sessions, oldest first',
    description:
      'Those that have ended, too, as long as their exit code is kept: the newest 512. Commands of `run` while they run.',
    success: { 200: z.array(sessionSchema) },
    errors: [...inGuest, 'too_large'],
    auth: 'data',
  },
  killSession: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec/:execId/kill',
    tag: 'exec',
    summary: 'Send a signal to a session',
    description: 'A session that has ended is a success.',
    body: killSchema,
    success: { 200: nothing },
    errors: onSession,
    auth: 'data',
  },
  resizeSession: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec/:execId/resize',
    tag: 'exec',
    summary: 'Change the size of the terminal of a session',
    body: terminalSizeSchema,
    success: { 200: nothing },
    errors: [...onSession, 'not_terminal', 'session_ended'],
    auth: 'data',
  },
  createTerminal: {
    method: 'POST',
    path: '/api/sandboxes/:id/pty',
    tag: 'pty',
    summary: 'Open a terminal with a shell in it',
    description: `Over the WebSocket go raw bytes both ways.${attaching}`,
    body: createTerminalSchema,
    success: { 201: terminalSchema },
    errors: starting,
    auth: 'data',
  },
  listTerminals: {
    method: 'GET',
    path: '/api/sandboxes/:id/pty',
    tag: 'pty',
    summary: 'List terminals, oldest first',
    success: { 200: z.array(sessionSchema) },
    errors: inGuest,
    auth: 'data',
  },
  resizeTerminal: {
    method: 'POST',
    path: '/api/sandboxes/:id/pty/:execId/resize',
    tag: 'pty',
    summary: 'Change the size of a terminal',
    body: terminalSizeSchema,
    success: { 200: nothing },
    errors: [...onSession, 'not_terminal', 'session_ended'],
    auth: 'data',
  },
  killTerminal: {
    method: 'DELETE',
    path: '/api/sandboxes/:id/pty/:execId',
    tag: 'pty',
    summary: 'Close a terminal and end what runs in it',
    description: 'Its processes are told to hang up, and killed two seconds later.',
    success: { 204: 'none' },
    errors: onSession,
    auth: 'data',
  },
  startAgent: {
    method: 'POST',
    path: '/api/sandboxes/:id/agent',
    tag: 'agent',
    summary: 'Start an agent session',
    description:
      'A session of the program OPENCOMPUTER_AGENT_COMMAND, which speaks lines of JSON; attach to it as to any session. The answer does not wait for output.',
    body: startAgentSchema,
    success: { 201: agentSessionSchema },
    errors: starting,
    auth: 'data',
  },
  listAgents: {
    method: 'GET',
    path: '/api/sandboxes/:id/agent',
    tag: 'agent',
    summary: 'List agent sessions, oldest first',
    success: { 200: z.array(agentSessionSchema) },
    errors: inGuest,
    auth: 'data',
  },
  promptAgent: {
    method: 'POST',
    path: '/api/sandboxes/:id/agent/:execId/prompt',
    tag: 'agent',
    summary: 'Give an agent session its next prompt',
    body: promptSchema,
    success: { 204: 'none' },
    errors: [...onSession, 'session_ended'],
    auth: 'data',
  },
  interruptAgent: {
    method: 'POST',
    path: '/api/sandboxes/:id/agent/:execId/interrupt',
    tag: 'agent',
    summary: 'Interrupt the turn of an agent session',
    success: { 204: 'none' },
    errors: [...onSession, 'session_ended'],
    auth: 'data',
  },
  killAgent: {
    method: 'POST',
    path: '/api/sandboxes/:id/agent/:execId/kill',
    tag: 'agent',
    summary: 'Send a signal to an agent session',
    body: killSchema,
    success: { 204: 'none' },
    errors: onSession,
    auth: 'data',
  },
  readLogs: {
    method: 'GET',
    path: '/api/sandboxes/:id/logs',
    tag: 'sandboxes',
    summary: 'Read the logs of the guest and of commands',
    description:
      'Server-sent events: every `data` is a LogEvent as JSON. Comments keep the connection alive. Without `tail` the stream ends after the lines that are there.',
    query: logsQuerySchema,
    success: { 200: 'events' },
    errors: inGuest,
    auth: 'data',
  },
  refreshToken: {
    method: 'POST',
    path: '/api/sandboxes/:id/token/refresh',
    tag: 'sandboxes',
    summary: 'Make a new token of a sandbox',
    description:
      'With a key, or with a token of the same sandbox that is still valid: then it ends 7 days after the one that a key got, at the latest.',
    success: { 200: sandboxTokenSchema },
    errors: ['sandbox_not_found', 'sandbox_stopped', 'forbidden'],
    auth: 'data',
  },
} as const satisfies Record<string, Operation>;
