import { z } from 'zod';
import { limits } from '../limits.ts';
import { strictObject } from '../strict.ts';
import type { Endpoint } from './endpoint.ts';

/** Body of `POST /api/sandboxes/checkpoints/:cid/patches`. */
export const createPatchSchema = strictObject({
  script: z
    .string()
    .refine((text) => text.trim() !== '', 'a script must not be empty')
    .refine(
      (text) => Buffer.byteLength(text) <= limits.patchScriptBytes,
      `a script may have ${limits.patchScriptBytes} bytes`,
    )
    .refine((text) => !text.includes('\0'), 'a script must not hold NUL'),
  description: z.string().max(limits.patchDescriptionLength).default(''),
}).meta({ id: 'CreatePatch' });

export type CreatePatch = z.output<typeof createPatchSchema>;

export const patchSchema = z
  .object({
    id: z.string(),
    checkpointId: z.string(),
    sequence: z.number().int(),
    script: z.string(),
    description: z.string(),
    strategy: z.literal('on_wake'),
    createdAt: z.string(),
  })
  .meta({ id: 'CheckpointPatch' });

export type Patch = z.infer<typeof patchSchema>;

/** Endpoints of the scripts that forks of a checkpoint run. They come before `/api/sandboxes/:id`. */
export const patchEndpoints = {
  createPatch: {
    method: 'POST',
    path: '/api/sandboxes/checkpoints/:cid/patches',
    tag: 'checkpoints',
    summary: 'Add a script that forks of a checkpoint run',
    description:
      'Run with `bash -c` when a sandbox is forked, and when one that was forked before is woken: in order, each at most once per sandbox, for 300 s at most. The first failure ends it and is the `patchError` of the sandbox.',
    body: createPatchSchema,
    success: { 201: z.object({ patch: patchSchema }) },
    errors: ['checkpoint_not_found', 'conflict'],
    auth: 'key',
  },
  listPatches: {
    method: 'GET',
    path: '/api/sandboxes/checkpoints/:cid/patches',
    tag: 'checkpoints',
    summary: 'List the patches of a checkpoint in their order',
    success: { 200: z.array(patchSchema) },
    errors: ['checkpoint_not_found'],
    auth: 'key',
  },
  deletePatch: {
    method: 'DELETE',
    path: '/api/sandboxes/checkpoints/:cid/patches/:pid',
    tag: 'checkpoints',
    summary: 'Remove a patch',
    description: 'Sandboxes that have run it stay as they are.',
    success: { 204: 'none' },
    errors: ['checkpoint_not_found', 'patch_not_found'],
    auth: 'key',
  },
} as const satisfies Record<string, Endpoint>;
