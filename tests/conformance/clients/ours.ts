import { Sandbox } from '../../../packages/sdk/src/index.ts';
import type { Client } from './client.ts';

export const ours: Client = {
  name: 'ours-typescript',
  origin: 'ours',
  create: (options) => Sandbox.create(options),
  connect: (sandboxId, options) => Sandbox.connect(sandboxId, options),
  createFromCheckpoint: (checkpointId, options) => Sandbox.createFromCheckpoint(checkpointId, options),
  createCheckpointPatch: (checkpointId, options) => Sandbox.createCheckpointPatch(checkpointId, options),
  listCheckpointPatches: (checkpointId, options) => Sandbox.listCheckpointPatches(checkpointId, options),
  deleteCheckpointPatch: (checkpointId, patchId, options) =>
    Sandbox.deleteCheckpointPatch(checkpointId, patchId, options),
  fork: (checkpointId, options) => Sandbox.fork(checkpointId, options),
};
