import { z } from 'zod';
import { limits } from '../limits.ts';
import { timeoutSchema } from './sandboxes.ts';
import { publicStates } from '../states.ts';
import { strictObject } from '../strict.ts';
import { envSchema, metadataSchema } from '../text.ts';
import { snapshotKinds } from '../snapshot-kinds.ts';

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
      'Fail where the guest does not come to rest and write out its file system in time, instead of saving it as it is.',
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

/** How many checkpoints of a kind a sandbox may have where the installation does not say otherwise. */
export function checkpointLimit(kind: (typeof snapshotKinds)[number]): number {
  return kind === 'full' ? limits.checkpointsFull : limits.checkpointsDiskOnly;
}

/** A checkpoint as every route returns it. */
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
    sizeBytes: z.number().int().meta({ description: 'What it occupies by itself; 0 until it is ready.' }),
    isPublic: z.boolean().meta({ description: 'True when every key of the installation may fork it.' }),
    createdAt: z.string(),
    parentCheckpointId: z
      .string()
      .optional()
      .meta({ description: 'The checkpoint that the state of its sandbox came from.' }),
    pauseMs: z.number().optional().meta({ description: 'How long the sandbox stood still.' }),
    quiesced: z.boolean().optional().meta({
      description:
        'Whether the guest came to rest and wrote out its file system first. False: it did not answer and was saved as it was; the disk of a `disk_only` checkpoint is then what a power cut would leave.',
    }),
    errorMsg: z.string().optional(),
    failedAt: z.string().optional(),
  })
  .meta({ id: 'Checkpoint' });

export type Checkpoint = z.infer<typeof checkpointSchema>;

/** A checkpoint in the tree of all: with what was forked from it. */
export const checkpointNodeSchema = checkpointSchema
  .extend({
    forks: z.array(z.object({ sandboxID: z.string(), status: z.enum(publicStates) })).meta({
      description: 'Sandboxes of yours that were forked from it and have not stopped, 1000 at most.',
    }),
  })
  .meta({ id: 'CheckpointNode' });

export type CheckpointNode = z.infer<typeof checkpointNodeSchema>;

/** Answer of a restore: string values only, since a client reads it as a map of strings. */
export const restoredSchema = z
  .object({ sandboxId: z.string(), checkpointId: z.string(), status: z.literal('restoring') })
  .meta({ id: 'Restored' });

const forkFields = {
  timeout: timeoutSchema.default(limits.timeoutSecondsDefault),
  envs: envSchema.default({}).meta({ description: 'Laid over those that the checkpoint holds.' }),
  metadata: metadataSchema.default({}).meta({ description: 'Merged over that of the checkpoint.' }),
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
