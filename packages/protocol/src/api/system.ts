import { z } from 'zod';

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
