import { randomUUID } from 'node:crypto';
import { ApiError, type CreatePatch, limits } from '@opencomputer/protocol';
import { patchesOf } from '../store/patches.ts';
import type { PatchRow, Store } from '../store/tables.ts';
import { transact } from '../store/transaction.ts';

/** Adds a patch behind the others of a checkpoint. @throws ApiError `conflict` when there are too many. */
export function addPatch(
  store: Store,
  checkpointId: string,
  { script, description }: CreatePatch,
): Promise<PatchRow> {
  return transact(store, async (tx) => {
    const others = await patchesOf(tx, checkpointId);
    if (others.length >= limits.patches)
      throw new ApiError('conflict', `the checkpoint has ${others.length} patches, no more are allowed`, {
        hint: 'Take a new checkpoint of a sandbox that has run them.',
        details: { limit: limits.patches },
      });
    const sequence = (others.at(-1)?.sequence ?? 0) + 1;
    return tx
      .insertInto('patches')
      .values({
        id: randomUUID(),
        checkpoint_id: checkpointId,
        sequence,
        script,
        description,
        created_at: Date.now(),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  });
}

/** @throws ApiError `patch_not_found`. */
export async function deletePatch(store: Store, checkpointId: string, patchId: string): Promise<void> {
  const deleted = await store
    .deleteFrom('patches')
    .where('id', '=', patchId)
    .where('checkpoint_id', '=', checkpointId)
    .returning('id')
    .executeTakeFirst();
  if (deleted === undefined)
    throw new ApiError('patch_not_found', `checkpoint ${checkpointId} has no patch ${patchId.slice(0, 64)}`);
}
