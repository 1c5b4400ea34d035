import { Sandbox } from 'published-sdk';
import type { Client } from './client.ts';

/** The client that the registry has, as it is. */
export const published: Client = {
  name: 'published-typescript',
  origin: 'published',
  create: (options) => Sandbox.create(options),
  connect: (sandboxId, options) => Sandbox.connect(sandboxId, options),
  createFromCheckpoint: (checkpointId, options) => Sandbox.createFromCheckpoint(checkpointId, options),
  createCheckpointPatch: (checkpointId, options) => Sandbox.createCheckpointPatch(checkpointId, options),
  listCheckpointPatches: (checkpointId, options) => Sandbox.listCheckpointPatches(checkpointId, options),
  deleteCheckpointPatch: (checkpointId, patchId, options) =>
    Sandbox.deleteCheckpointPatch(checkpointId, patchId, options),
};
