import { z } from 'zod';
import { sandboxSchema, timeoutSchema } from './sandboxes.ts';
import { strictObject } from '../strict.ts';
import type { Endpoint } from './endpoint.ts';
import { changingSandbox, startingMachine } from './refusals.ts';

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

/** Endpoints that turn the machine of a sandbox off and on. */
export const powerEndpoints = {
  hibernateSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/hibernate',
    tag: 'sandboxes',
    summary: 'Save memory and processes to disk and end the machine',
    description:
      'Any use wakes it again. Does nothing where it is hibernated already. If it cannot be saved, it goes on running.',
    success: { 200: hibernatedSchema },
    errors: [...changingSandbox, 'too_many_sandboxes', 'snapshot_failed', 'no_space'],
    auth: 'key',
  },
  wakeSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/wake',
    tag: 'sandboxes',
    summary: 'Wake a hibernated sandbox',
    description:
      'Does nothing where it runs; one in error is started from its disk. Where the memory cannot be restored, it is started from its disk and `coldBootReason` says why. `timeout`, when given, becomes the idle timeout.',
    body: wakeSchema,
    success: { 200: sandboxSchema },
    errors: startingMachine,
    auth: 'key',
  },
  rebootSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/reboot',
    tag: 'sandboxes',
    summary: 'Shut the system down and start it again',
    description: 'Id, disk and environment are kept, processes are lost.',
    success: { 204: 'none' },
    errors: startingMachine,
    auth: 'key',
  },
  powerCycleSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/power-cycle',
    tag: 'sandboxes',
    summary: 'Turn the machine off and on, without asking its system',
    description: 'What had not been written to the disk is lost.',
    success: { 204: 'none' },
    errors: startingMachine,
    auth: 'key',
  },
} as const satisfies Record<string, Endpoint>;
