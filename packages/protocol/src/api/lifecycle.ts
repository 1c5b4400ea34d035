import { z } from 'zod';
import { timeoutSchema } from './sandboxes.ts';
import { strictObject } from '../strict.ts';

/** Answer of `POST /api/sandboxes/:id/hibernate`. */
export const hibernatedSchema = z
  .object({
    sandboxID: z.string(),
    sandboxId: z.string().meta({ description: 'The same as sandboxID.' }),
    status: z.literal('hibernated'),
    sizeBytes: z.number().int().meta({ description: 'What its saved memory occupies.' }),
    hibernatedAt: z.string(),
    template: z.string(),
    region: z.string(),
  })
  .meta({ id: 'Hibernated' });

export type Hibernated = z.infer<typeof hibernatedSchema>;

/** Body of `POST /api/sandboxes/:id/wake`. */
export const wakeSchema = strictObject({ timeout: timeoutSchema.optional() }).meta({ id: 'Wake' });

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
