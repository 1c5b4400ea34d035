import { z } from 'zod';
import { limits } from '../limits.ts';
import { publicStates } from '../states.ts';
import { strictObject } from '../strict.ts';
import { envSchema, metadataSchema } from '../text.ts';
import type { Endpoint } from './endpoint.ts';
import { usingSandbox } from './refusals.ts';

/** Upper limits that an installation may change. */
export interface ShapeLimits {
  cpuCountMax: number;
  memoryMBMax: number;
}

export const timeoutSchema = z.number().int().min(0).max(limits.timeoutSecondsMax).meta({
  description: 'Idle timeout in seconds; every use restarts it. 0 means never.',
  example: 300,
});

/** Body of `POST /api/sandboxes`. */
export function createSandboxSchema(shape: ShapeLimits) {
  return strictObject({
    templateID: z
      .string()
      .min(1)
      .max(128)
      .default('base')
      .meta({ description: 'Template of the root file system.', example: 'base' }),
    timeout: timeoutSchema.default(limits.timeoutSecondsDefault),
    envs: envSchema.default({}),
    metadata: metadataSchema.default({}),
    cpuCount: z
      .number()
      .int()
      .min(limits.cpuCountMin)
      .max(shape.cpuCountMax, `cpuCount must not exceed ${shape.cpuCountMax}`)
      .default(limits.cpuCountDefault)
      .meta({ description: 'Virtual CPUs.', example: 2 }),
    memoryMB: z
      .number()
      .int()
      .min(limits.memoryMBMin)
      .max(shape.memoryMBMax, `memoryMB must not exceed ${shape.memoryMBMax}`)
      .default(limits.memoryMBDefault)
      .meta({ description: 'Memory in MiB.', example: 1024 }),
    diskMB: z
      .number()
      .int()
      .min(limits.diskMBDefault)
      .max(limits.diskMBDefault, `only ${limits.diskMBDefault} is supported so far`)
      .default(limits.diskMBDefault)
      .meta({ description: 'Size of the root disk in MiB.', example: limits.diskMBDefault }),
  }).meta({ id: 'CreateSandbox' });
}

export type CreateSandbox = z.output<ReturnType<typeof createSandboxSchema>>;

/** A sandbox as every endpoint returns it. */
export const sandboxSchema = z
  .object({
    sandboxID: z.string().meta({ example: 'sb-0a1b2c3d' }),
    status: z.enum(publicStates),
    statusReason: z.string().optional().meta({ description: 'Why it is hibernated, stopped or failed.' }),
    templateID: z.string(),
    template: z.string(),
    cpuCount: z.number().int(),
    memoryMB: z.number().int(),
    diskMB: z.number().int(),
    metadata: z.record(z.string(), z.string()),
    timeout: z.number().int().meta({ description: 'Idle timeout in seconds; 0 means never.' }),
    startedAt: z.string().meta({ description: 'RFC 3339.' }),
    endAt: z.string().meta({
      description: 'When it expires if nothing happens (RFC 3339); 0001-01-01T00:00:00Z when never.',
    }),
    stoppedAt: z.string().optional(),
    keptAwakeBy: z
      .object({
        sessionID: z.string(),
        command: z.string(),
        sessions: z.number().int().meta({ description: 'How many sessions were in use.' }),
        at: z.string().meta({ description: 'When that was seen (RFC 3339).' }),
      })
      .optional()
      .meta({
        description:
          'Why it did not hibernate when its idle timeout was over the last time: the oldest session in use.',
      }),
    hibernatedAt: z.string().optional().meta({ description: 'Since when it is hibernated.' }),
    startedFrom: z.enum(['memory', 'disk']).optional().meta({
      description:
        'What its current run started from: `memory`, with its processes, or its disk alone. Absent until it runs.',
    }),
    coldBootReason: z.string().optional().meta({
      description: 'Why it was started from its disk where its memory was asked for: processes were lost.',
    }),
    fromCheckpointId: z
      .string()
      .optional()
      .meta({ description: 'The checkpoint that it was forked from; that may have been deleted since.' }),
    patchError: z.string().optional().meta({
      description: 'Why a patch of its checkpoint failed; the patches after it did not run.',
    }),
    region: z.string(),
    workerID: z.string(),
    sandboxDomain: z.string(),
    connectURL: z.string().optional().meta({
      description: 'Base of the routes that `token` is for: from create, get, wake and fork.',
    }),
    token: z.string().optional().meta({
      description: 'A credential for the commands, files, terminals and logs of this sandbox alone.',
    }),
    emulated: z.boolean().meta({
      description: 'True where the host has no usable KVM: software emulation is not an isolation boundary.',
    }),
  })
  .meta({ id: 'Sandbox' });

export type Sandbox = z.infer<typeof sandboxSchema>;

/** Body of `POST /api/sandboxes/:id/timeout`. */
export const setTimeoutSchema = strictObject({ timeout: timeoutSchema }).meta({ id: 'SetTimeout' });

/** Query of `GET /api/sandboxes`. `metadata[key]=value` filters are parsed separately. */
export const listSandboxesQuerySchema = z.object({
  status: z
    .enum([...publicStates, 'all'])
    .optional()
    .meta({ description: 'Only sandboxes of this status; by default all that have not stopped.' }),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(limits.pageSizeMax)
    .default(limits.pageSizeDefault)
    .meta({ description: 'Page size.' }),
  cursor: z
    .string()
    .max(256)
    .optional()
    .meta({ description: 'Where the page starts: the X-Next-Cursor header of the page before.' }),
});

/** Query of lists that have pages and no filters. */
export const pageQuerySchema = listSandboxesQuerySchema.pick({ limit: true, cursor: true });
export type PageQuery = z.output<typeof pageQuerySchema>;

export type ListSandboxesQuery = z.output<typeof listSandboxesQuerySchema>;

/** One line of the history of a sandbox. */
export const sandboxEventSchema = z
  .object({
    id: z.number().int(),
    time: z.string(),
    actor: z.enum(['client', 'system']),
    kind: z.string().meta({ description: 'What happened.', example: 'hibernate' }),
    reason: z.string().optional(),
  })
  .meta({ id: 'SandboxEvent' });

export type SandboxEvent = z.infer<typeof sandboxEventSchema>;

/** Answer of `POST /api/sandboxes/:id/token/refresh`. */
export const sandboxTokenSchema = z.object({ token: z.string() }).meta({ id: 'SandboxToken' });

const documentedShape = { cpuCountMax: limits.cpuCountMax, memoryMBMax: limits.memoryMBMax };

/** Endpoints of sandboxes, without power and forks. */
export const sandboxEndpoints = {
  createSandbox: {
    method: 'POST',
    path: '/api/sandboxes',
    tag: 'sandboxes',
    summary: 'Create a sandbox',
    description: 'Answers once the machine runs and takes commands. All fields are optional.',
    body: createSandboxSchema(documentedShape),
    success: { 201: sandboxSchema },
    errors: [
      'template_not_found',
      'too_many_sandboxes',
      'no_capacity',
      'no_space',
      'creation_failed',
      'worker_unavailable',
      'shutting_down',
    ],
    auth: 'key',
  },
  listSandboxes: {
    method: 'GET',
    path: '/api/sandboxes',
    tag: 'sandboxes',
    summary: 'List sandboxes, newest first',
    description:
      'Filter with `status` and `metadata[key]=value` (repeatable, all must match). The header X-Next-Cursor names the next page.',
    query: listSandboxesQuerySchema,
    queryNames: /^metadata\[(.+)\]$/s,
    success: { 200: z.array(sandboxSchema) },
    errors: [],
    auth: 'key',
  },
  getSandbox: {
    method: 'GET',
    path: '/api/sandboxes/:id',
    tag: 'sandboxes',
    summary: 'Read a sandbox',
    success: { 200: sandboxSchema },
    errors: ['sandbox_not_found'],
    auth: 'key',
  },
  deleteSandbox: {
    method: 'DELETE',
    path: '/api/sandboxes/:id',
    tag: 'sandboxes',
    summary: 'Kill a sandbox and delete its disk',
    description:
      'Works in every state; deleting a stopped sandbox again is a success. Its checkpoints stay until they are deleted.',
    success: { 204: 'none' },
    errors: ['sandbox_not_found', 'shutting_down'],
    auth: 'key',
  },
  listEvents: {
    method: 'GET',
    path: '/api/sandboxes/:id/events',
    tag: 'sandboxes',
    summary: 'Read what happened to a sandbox, oldest first',
    description: 'The header X-Next-Cursor names the next page.',
    query: pageQuerySchema,
    success: { 200: z.array(sandboxEventSchema) },
    errors: ['sandbox_not_found'],
    auth: 'key',
  },
  setTimeout: {
    method: 'POST',
    path: '/api/sandboxes/:id/timeout',
    tag: 'sandboxes',
    summary: 'Set the idle timeout and restart its clock',
    description: 'Wakes the sandbox if it is hibernated.',
    body: setTimeoutSchema,
    success: { 204: 'none' },
    errors: usingSandbox,
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
} as const satisfies Record<string, Endpoint>;
