import { z } from 'zod';
import { limits } from '../limits.ts';
import { pageQuerySchema, sandboxSchema, timeoutSchema } from './sandboxes.ts';
import { publicStates } from '../states.ts';
import { strictObject } from '../strict.ts';
import { envSchema, metadataSchema } from '../text.ts';
import { snapshotKinds } from '../snapshot-kinds.ts';
import type { Endpoint } from './endpoint.ts';
import { onCheckpoint, startingMachine } from './refusals.ts';

export const checkpointStatuses = ['processing', 'ready', 'failed'] as const;
export type CheckpointStatus = (typeof checkpointStatuses)[number];

const name = z
  .string()
  .min(1)
  .max(limits.checkpointNameLength)
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'a name must not hold control characters')
  .refine((text) => text.trim() === text, 'a name must not begin or end with white space')
  .meta({ description: 'Unique among the checkpoints of the sandbox.', example: 'ready' });

/** Body of `POST /api/sandboxes/:id/checkpoints`. */
export const createCheckpointSchema = strictObject({
  name,
  kind: z.enum(snapshotKinds).default('full').meta({
    description:
      '`full`: disk and memory, forks go on with its processes; `disk_only`: forks boot from the disk.',
  }),
  promoteToFull: z
    .boolean()
    .default(false)
    .meta({ description: 'With kind `disk_only`: take it as a full one after all, at once.' }),
  requireQuiesced: z.boolean().default(false).meta({
    description:
      'Fail where the guest does not pause its work and write out its file system in time, instead of saving it as it is.',
  }),
  retentionPolicy: strictObject({
    mode: z.enum(['none', 'delete_oldest']),
    maxCount: z.number().int().min(1).optional(),
  })
    .optional()
    .meta({
      description: '`delete_oldest`: once it is ready, the oldest of its kind beyond maxCount are deleted.',
    }),
})
  .superRefine(({ kind, promoteToFull }, context) => {
    if (promoteToFull && kind !== 'disk_only')
      context.addIssue({
        code: 'custom',
        path: ['promoteToFull'],
        message: 'only possible with kind "disk_only"; a full checkpoint is full already',
      });
  })
  .meta({ id: 'CreateCheckpoint' });

export type CreateCheckpoint = z.output<typeof createCheckpointSchema>;

/** How many checkpoints of each kind a sandbox may have by default. */
export function checkpointLimit(kind: (typeof snapshotKinds)[number]): number {
  return kind === 'full' ? limits.checkpointsFull : limits.checkpointsDiskOnly;
}

/** A checkpoint as every endpoint returns it. */
export const checkpointSchema = z
  .object({
    id: z.string().meta({ description: 'UUID.' }),
    sandboxId: z.string().meta({ description: 'The sandbox it was taken of; that may have ended since.' }),
    orgId: z.string(),
    name: z.string(),
    kind: z.enum(snapshotKinds),
    status: z.enum(checkpointStatuses),
    sandboxConfig: z.object({
      template: z.string(),
      cpuCount: z.number().int(),
      memoryMB: z.number().int(),
      diskMB: z.number().int(),
    }),
    sizeBytes: z
      .number()
      .int()
      .meta({ description: 'What only this checkpoint occupies; 0 until it is ready.' }),
    isPublic: z.boolean().meta({ description: 'True when every key of the installation may fork it.' }),
    createdAt: z.string(),
    parentCheckpointId: z
      .string()
      .optional()
      .meta({ description: 'The checkpoint that the state of its sandbox came from.' }),
    pauseMs: z.number().optional().meta({ description: 'How long the sandbox was paused.' }),
    quiesced: z.boolean().optional().meta({
      description:
        'Whether the guest paused its work and wrote out its file system first. False: it did not answer and was saved as it was; the disk of a `disk_only` checkpoint is then as after a power cut.',
    }),
    errorMsg: z.string().optional(),
    failedAt: z.string().optional(),
  })
  .meta({ id: 'Checkpoint' });

export type Checkpoint = z.infer<typeof checkpointSchema>;

/** A checkpoint in the tree of all checkpoints, with what was forked from it. */
export const checkpointNodeSchema = checkpointSchema
  .extend({
    forks: z.array(z.object({ sandboxID: z.string(), status: z.enum(publicStates) })).meta({
      description: 'Sandboxes of yours that were forked from it and have not stopped, 1000 at most.',
    }),
  })
  .meta({ id: 'CheckpointNode' });

export type CheckpointNode = z.infer<typeof checkpointNodeSchema>;

/** Answer of a restore: string values only, since a published client reads it as a map of strings. */
export const restoredSchema = z
  .object({ sandboxId: z.string(), checkpointId: z.string(), status: z.literal('restoring') })
  .meta({ id: 'Restored' });

const forkFields = {
  timeout: timeoutSchema.default(limits.timeoutSecondsDefault),
  envs: envSchema.default({}).meta({ description: 'Added to those of the checkpoint, which they override.' }),
  metadata: metadataSchema
    .default({})
    .meta({ description: 'Added to that of the checkpoint, which it overrides.' }),
  count: z.number().int().min(1).max(limits.forks).optional().meta({
    description:
      'How many, all or none. With it the answer is `{ "sandboxes": [...] }`, without it one sandbox.',
  }),
};

/** Body of `POST /api/sandboxes/from-checkpoint/:cid`. */
export const forkCheckpointSchema = strictObject(forkFields).meta({ id: 'ForkCheckpoint' });
export type ForkRequest = z.output<typeof forkCheckpointSchema>;

/** Body of `POST /api/sandboxes/:id/fork`. */
export const forkSandboxSchema = strictObject({
  ...forkFields,
  name: name.optional().meta({
    description: 'Keeps the checkpoint that the forks are made from under this name.',
  }),
}).meta({ id: 'ForkSandbox' });

const manySandboxes = z.object({ sandboxes: z.array(sandboxSchema) });

/** Endpoints of checkpoints. Those whose second segment is a word come before `/api/sandboxes/:id`. */
export const checkpointEndpoints = {
  forkCheckpoint: {
    method: 'POST',
    path: '/api/sandboxes/from-checkpoint/:cid',
    tag: 'checkpoints',
    summary: 'Create sandboxes from a checkpoint',
    description:
      'A fork has the memory and the running processes of a full checkpoint, under its own identity; connections to the outside are lost. CPU, memory and disk are those of the checkpoint. Waits up to 120 s for a checkpoint that is being written.',
    body: forkCheckpointSchema,
    success: { 201: z.union([sandboxSchema, manySandboxes]) },
    errors: [...onCheckpoint, ...startingMachine],
    auth: 'key',
  },
  publishCheckpoint: {
    method: 'POST',
    path: '/api/sandboxes/checkpoints/:cid/publish',
    tag: 'checkpoints',
    summary: 'Let every key of the installation fork a checkpoint',
    description: 'Its memory, disk and environment variables can then be read by everybody with a key.',
    success: { 200: checkpointSchema },
    errors: ['checkpoint_not_found'],
    auth: 'key',
  },
  unpublishCheckpoint: {
    method: 'POST',
    path: '/api/sandboxes/checkpoints/:cid/unpublish',
    tag: 'checkpoints',
    summary: 'Let only its owner fork a checkpoint again',
    description: 'Forks that others have made stay.',
    success: { 200: checkpointSchema },
    errors: ['checkpoint_not_found'],
    auth: 'key',
  },
  listAllCheckpoints: {
    method: 'GET',
    path: '/api/checkpoints',
    tag: 'checkpoints',
    summary: 'List all your checkpoints, newest first, as a tree',
    description:
      '`parentCheckpointId` names the checkpoint that one came from. When one is deleted, its children become those of its parent. The header X-Next-Cursor names the next page.',
    query: pageQuerySchema,
    success: { 200: z.array(checkpointNodeSchema) },
    errors: [],
    auth: 'key',
  },
  forkSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/fork',
    tag: 'checkpoints',
    summary: 'Take a checkpoint of a sandbox and fork it, in one call',
    description: 'Without a name the checkpoint is deleted once the forks exist; they do not need it.',
    body: forkSandboxSchema,
    success: { 201: z.union([sandboxSchema, manySandboxes]) },
    errors: [
      ...startingMachine,
      'snapshot_failed',
      'name_taken',
      'too_many_checkpoints',
      'checkpoint_not_ready',
    ],
    auth: 'key',
  },
  createCheckpoint: {
    method: 'POST',
    path: '/api/sandboxes/:id/checkpoints',
    tag: 'checkpoints',
    summary: 'Take a checkpoint; the sandbox goes on',
    description:
      'Answers once it is ready, or after 20 s with the status `processing`. Checkpoints outlive their sandbox until they are deleted.',
    body: createCheckpointSchema,
    success: { 201: checkpointSchema },
    errors: [...startingMachine, 'snapshot_failed', 'name_taken', 'too_many_checkpoints'],
    auth: 'key',
  },
  listCheckpoints: {
    method: 'GET',
    path: '/api/sandboxes/:id/checkpoints',
    tag: 'checkpoints',
    summary: 'List the checkpoints of a sandbox, newest first',
    success: { 200: z.array(checkpointSchema) },
    errors: ['sandbox_not_found'],
    auth: 'key',
  },
  deleteCheckpoint: {
    method: 'DELETE',
    path: '/api/sandboxes/:id/checkpoints/:cid',
    tag: 'checkpoints',
    summary: 'Delete a checkpoint',
    description: 'Forks of it, and checkpoints of those, are not affected.',
    success: { 204: 'none' },
    errors: ['sandbox_not_found', 'checkpoint_not_found', 'conflict', 'shutting_down'],
    auth: 'key',
  },
  restoreCheckpoint: {
    method: 'POST',
    path: '/api/sandboxes/:id/checkpoints/:cid/restore',
    tag: 'checkpoints',
    summary: 'Put a sandbox back to one of its checkpoints',
    description:
      'Memory, processes and disk are then those of the checkpoint; what came after is lost. Answers when it runs again.',
    success: { 200: restoredSchema },
    errors: [...startingMachine, ...onCheckpoint],
    auth: 'key',
  },
} as const satisfies Record<string, Endpoint>;
