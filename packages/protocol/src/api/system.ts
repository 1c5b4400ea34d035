import { z } from 'zod';
import type { Endpoint } from './endpoint.ts';

export const healthSchema = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });

export const readinessSchema = z
  .object({
    status: z.enum(['ready', 'not_ready']),
    database: z.boolean(),
    worker: z.boolean(),
    reason: z.string().optional(),
  })
  .meta({ id: 'Readiness' });

export const errorBodySchema = z
  .looseObject({
    error: z.string().meta({ description: 'What happened.' }),
    code: z.string().meta({ description: 'A stable code.' }),
    hint: z.string().meta({ description: 'What to do about it.' }),
    requestId: z.string().optional(),
  })
  .meta({ id: 'Error' });

/** Endpoints of the server itself. */
export const systemEndpoints = {
  health: {
    method: 'GET',
    path: '/health',
    tag: 'system',
    summary: 'Is the server there',
    success: { 200: healthSchema },
    errors: [],
    auth: 'none',
  },
  alive: {
    method: 'GET',
    path: '/healthz',
    tag: 'system',
    summary: 'Is the process alive',
    success: { 200: z.object({ status: z.literal('alive') }) },
    errors: [],
    auth: 'none',
  },
  readiness: {
    method: 'GET',
    path: '/readyz',
    tag: 'system',
    summary: 'Can sandboxes be created',
    success: { 200: readinessSchema, 503: readinessSchema },
    errors: [],
    auth: 'none',
  },
  metrics: {
    method: 'GET',
    path: '/metrics',
    tag: 'system',
    summary: 'Metrics in the Prometheus text format',
    success: { 200: 'text' },
    errors: [],
    auth: 'key',
  },
} as const satisfies Record<string, Endpoint>;
