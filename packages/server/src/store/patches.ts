import type { PatchRow, Store } from './tables.ts';
import { transact } from './transaction.ts';

/** The patches of a checkpoint in their order. */
export function patchesOf(store: Store, checkpointId: string): Promise<PatchRow[]> {
  return store
    .selectFrom('patches')
    .selectAll()
    .where('checkpoint_id', '=', checkpointId)
    .orderBy('sequence')
    .execute();
}

export function insertPatch(store: Store, row: PatchRow): Promise<PatchRow> {
  return store.insertInto('patches').values(row).returningAll().executeTakeFirstOrThrow();
}

/** @returns false when the checkpoint has no such patch */
export async function removePatch(store: Store, checkpointId: string, patchId: string): Promise<boolean> {
  const removed = await store
    .deleteFrom('patches')
    .where('id', '=', patchId)
    .where('checkpoint_id', '=', checkpointId)
    .returning('id')
    .executeTakeFirst();
  return removed !== undefined;
}

export interface PatchRun {
  readonly execId: string;
  /** False when an earlier attempt has begun it. */
  readonly first: boolean;
  readonly ended: boolean;
  readonly error: string | null;
}

/** Notes that a patch is about to run in a sandbox, or finds that it has been. */
export async function beginPatchRun(
  store: Store,
  sandboxId: string,
  patchId: string,
  execId: string,
): Promise<PatchRun> {
  const inserted = await store
    .insertInto('patch_runs')
    .values({ sandbox_id: sandboxId, patch_id: patchId, exec_id: execId, error: null, ended_at: null })
    .onConflict((conflict) => conflict.doNothing())
    .returning('exec_id')
    .executeTakeFirst();
  const row = await store
    .selectFrom('patch_runs')
    .selectAll()
    .where('sandbox_id', '=', sandboxId)
    .where('patch_id', '=', patchId)
    .executeTakeFirstOrThrow();
  return {
    execId: row.exec_id,
    first: inserted !== undefined,
    ended: row.ended_at !== null,
    error: row.error,
  };
}

/** Notes how a patch ended, and in the sandbox when it failed. */
export async function endPatchRun(
  store: Store,
  sandboxId: string,
  patchId: string,
  error: string | null,
): Promise<void> {
  await transact(store, async (tx) => {
    await tx
      .updateTable('patch_runs')
      .set({ error, ended_at: Date.now() })
      .where('sandbox_id', '=', sandboxId)
      .where('patch_id', '=', patchId)
      .execute();
    if (error !== null) await setPatchError(tx, sandboxId, error);
  });
}

export async function setPatchError(store: Store, sandboxId: string, error: string | null): Promise<void> {
  await store.updateTable('sandboxes').set({ patch_error: error }).where('id', '=', sandboxId).execute();
}
