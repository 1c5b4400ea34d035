import { createCheckpointSchema, createPatchSchema, pageQuerySchema } from '@opencomputer/protocol';
import { addPatch, deletePatch as removePatch } from '../checkpoints/patches.ts';
import { presentCheckpoint, presentPatch } from '../checkpoints/present.ts';
import { pageOfCheckpoints } from '../checkpoints/tree.ts';
import { checkpointsOf } from '../store/checkpoints.ts';
import { patchesOf } from '../store/patches.ts';
import { callerOf, type Handler } from './context.ts';
import { checkpointId, readJson, readQuery, sandboxId } from './input.ts';
import { paddedJson, slowMs } from '../http/padding.ts';

export const createCheckpoint: Handler<'checkpoints'> = async (c, { checkpoints }) => {
  const request = await readJson(c, createCheckpointSchema);
  const row = await checkpoints.create(callerOf(c).owner, sandboxId(c), request);
  return c.json(presentCheckpoint(row), 201);
};

export const listCheckpoints: Handler<'sandboxes' | 'store'> = async (c, { sandboxes, store }) => {
  const { id } = await sandboxes.get(callerOf(c).owner, sandboxId(c));
  return c.json((await checkpointsOf(store, id)).map(presentCheckpoint));
};

export const deleteCheckpoint: Handler<'checkpoints' | 'sandboxes'> = async (
  c,
  { sandboxes, checkpoints },
) => {
  const { owner } = callerOf(c);
  const { id } = await sandboxes.get(owner, sandboxId(c));
  await checkpoints.delete(owner, id, checkpointId(c));
  return c.body(null, 204);
};

export const restoreCheckpoint: Handler<'checkpoints' | 'log'> = async (c, { checkpoints, log }) => {
  const [id, cid] = [sandboxId(c), checkpointId(c)];
  const restored = checkpoints.restore(callerOf(c).owner, id, cid);
  const answer = restored.then(() => ({ sandboxId: id, checkpointId: cid, status: 'restoring' }));
  return paddedJson(c, answer, slowMs, log);
};

export const publishCheckpoint: Handler<'checkpoints'> = async (c, { checkpoints }) =>
  c.json(presentCheckpoint(await checkpoints.publish(callerOf(c).owner, checkpointId(c), true)));

export const unpublishCheckpoint: Handler<'checkpoints'> = async (c, { checkpoints }) =>
  c.json(presentCheckpoint(await checkpoints.publish(callerOf(c).owner, checkpointId(c), false)));

export const listAllCheckpoints: Handler<'store'> = async (c, { store }) => {
  const query = readQuery(c, pageQuerySchema);
  const { nodes, next } = await pageOfCheckpoints(store, callerOf(c).owner, query);
  if (next !== undefined) c.header('X-Next-Cursor', next);
  return c.json(nodes);
};

export const createPatch: Handler<'checkpoints' | 'store'> = async (c, { checkpoints, store }) => {
  const request = await readJson(c, createPatchSchema);
  const { id } = await checkpoints.owned(callerOf(c).owner, checkpointId(c));
  return c.json({ patch: presentPatch(await addPatch(store, id, request)) }, 201);
};

export const listPatches: Handler<'checkpoints' | 'store'> = async (c, { checkpoints, store }) => {
  const { id } = await checkpoints.owned(callerOf(c).owner, checkpointId(c));
  return c.json((await patchesOf(store, id)).map(presentPatch));
};

export const deletePatch: Handler<'checkpoints' | 'store'> = async (c, { checkpoints, store }) => {
  const { id } = await checkpoints.owned(callerOf(c).owner, checkpointId(c));
  await removePatch(store, id, c.req.param('pid') ?? '');
  return c.body(null, 204);
};
