import { z } from 'zod';
import {
  checkpointNodeSchema,
  checkpointSchema,
  createCheckpointSchema,
  createPatchSchema,
  forkCheckpointSchema,
  forkSandboxSchema,
  patchSchema,
  restoredSchema,
} from '../checkpoints.ts';
import { hibernatedSchema, sandboxEventSchema, wakeSchema } from '../lifecycle.ts';
import type { Operation } from './operation.ts';
import { pageQuerySchema, sandboxSchema } from '../sandboxes.ts';

const onSandbox = ['sandbox_not_found', 'sandbox_stopped', 'conflict'] as const;
const changing = [...onSandbox, 'worker_unavailable', 'shutting_down'] as const;
const starting = [
  ...changing,
  'too_many_sandboxes',
  'no_capacity',
  'no_space',
  'creation_failed',
  'guest_timeout',
  'guest_failed',
] as const;
const onCheckpoint = ['checkpoint_not_found', 'checkpoint_not_ready'] as const;
const manySandboxes = z.object({ sandboxes: z.array(sandboxSchema) });

/** Routes of checkpoints whose second segment is a word: they come before `/api/sandboxes/:id`. */
export const checkpointOperations = {
  forkCheckpoint: {
    method: 'POST',
    path: '/api/sandboxes/from-checkpoint/:cid',
    tag: 'checkpoints',
    summary: 'Create sandboxes from a checkpoint',
    description:
      'A fork has the memory and the running processes of a full checkpoint, under an identity of its own; connections to the outside are lost. CPU, memory and disk are those of the checkpoint. Waits up to 120 s for a checkpoint that is being written.',
    body: forkCheckpointSchema,
    success: { 201: z.union([sandboxSchema, manySandboxes]) },
    errors: [...onCheckpoint, ...starting],
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
    summary: 'Keep a checkpoint to its owner again',
    description: 'Forks that others have made stay theirs.',
    success: { 200: checkpointSchema },
    errors: ['checkpoint_not_found'],
    auth: 'key',
  },
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
} as const satisfies Record<string, Operation>;

/** Changes of the life of one sandbox. */
export const lifecycleOperations = {
  hibernateSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/hibernate',
    tag: 'sandboxes',
    summary: 'Save memory and processes to disk and end the machine',
    description:
      'Any operation wakes it again. A hibernated sandbox stays so. If it cannot be saved, it goes on running.',
    success: { 200: hibernatedSchema },
    errors: [...changing, 'too_many_sandboxes', 'snapshot_failed', 'no_space'],
    auth: 'key',
  },
  wakeSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/wake',
    tag: 'sandboxes',
    summary: 'Wake a hibernated sandbox where it was',
    description:
      'A running one stays so; one in error is started from its disk. Where the memory cannot be restored, it is started from its disk and `coldBootReason` says why. `timeout`, when given, becomes the idle timeout.',
    body: wakeSchema,
    success: { 200: sandboxSchema },
    errors: [...starting],
    auth: 'key',
  },
  rebootSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/reboot',
    tag: 'sandboxes',
    summary: 'Shut the system down and start it again',
    description: 'Id, disk and environment are kept, processes are lost.',
    success: { 204: 'none' },
    errors: [...starting],
    auth: 'key',
  },
  powerCycleSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/power-cycle',
    tag: 'sandboxes',
    summary: 'Turn the machine off and on, without asking its system',
    description: 'What had not been written to the disk is lost.',
    success: { 204: 'none' },
    errors: [...starting],
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
  forkSandbox: {
    method: 'POST',
    path: '/api/sandboxes/:id/fork',
    tag: 'checkpoints',
    summary: 'Take a checkpoint of a sandbox and fork it, in one call',
    description: 'Without a name the checkpoint is deleted once the forks stand; they do not need it.',
    body: forkSandboxSchema,
    success: { 201: z.union([sandboxSchema, manySandboxes]) },
    errors: [...starting, 'snapshot_failed', 'name_taken', 'too_many_checkpoints', 'checkpoint_not_ready'],
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
    errors: [...starting, 'snapshot_failed', 'name_taken', 'too_many_checkpoints'],
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
    errors: [...starting, ...onCheckpoint],
    auth: 'key',
  },
} as const satisfies Record<string, Operation>;
