import { z } from 'zod';
import { limits } from '../limits.ts';
import { strictObject } from '../strict.ts';
import type { Endpoint } from './endpoint.ts';
import { amongSessions, onSession, startingSession } from './refusals.ts';
import { killSchema } from './sessions.ts';

const text = (max: number) => z.string().max(max);
const names = z.array(text(512)).max(512);

/** How an agent session is to work. */
const agentConfigFields = {
  model: text(256).optional(),
  systemPrompt: text(limits.jsonBodyBytes / 2).optional(),
  allowedTools: names.optional(),
  disallowedTools: names.optional(),
  permissionMode: text(64).optional(),
  maxTurns: z.number().int().min(1).max(1_000_000).optional(),
  cwd: text(limits.pathBytes).optional(),
  mcpServers: z
    .record(text(128), z.record(text(128), z.unknown()))
    .optional()
    .meta({ description: 'Servers by name: {"command": "...", "args": [], "env": {}}.' }),
  resume: text(256).optional().meta({ description: 'Id of the conversation to go on with.' }),
};

/** Body of `POST /api/sandboxes/:id/agent`. */
export const startAgentSchema = strictObject({
  prompt: text(limits.jsonBodyBytes / 2).optional(),
  ...agentConfigFields,
}).meta({ id: 'StartAgent' });
export type StartAgent = z.output<typeof startAgentSchema>;

/** Body of `POST /api/sandboxes/:id/agent/:sid/prompt`. */
export const promptSchema = strictObject({
  text: z
    .string({ error: (issue) => (issue.input === undefined ? 'text is required' : undefined) })
    .min(1, 'text is required')
    .max(limits.jsonBodyBytes / 2),
}).meta({ id: 'Prompt' });

/** An agent session. */
export const agentSessionSchema = z
  .object({
    sessionID: z.string(),
    sandboxID: z.string(),
    running: z.boolean(),
    exitCode: z.number().int().optional().meta({ description: 'Once it has ended.' }),
    startedAt: z.string(),
    attachedClients: z.number().int(),
  })
  .meta({ id: 'AgentSession' });
export type AgentSession = z.infer<typeof agentSessionSchema>;

/** Endpoints of agent sessions. */
export const agentEndpoints = {
  startAgent: {
    method: 'POST',
    path: '/api/sandboxes/:id/agent',
    tag: 'agent',
    summary: 'Start an agent session',
    description:
      'A session of the program OPENCOMPUTER_AGENT_COMMAND, which speaks lines of JSON; attach to it as to any session. The answer does not wait for output.',
    body: startAgentSchema,
    success: { 201: agentSessionSchema },
    errors: startingSession,
    auth: 'data',
  },
  listAgents: {
    method: 'GET',
    path: '/api/sandboxes/:id/agent',
    tag: 'agent',
    summary: 'List agent sessions, oldest first',
    success: { 200: z.array(agentSessionSchema) },
    errors: amongSessions,
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
} as const satisfies Record<string, Endpoint>;
