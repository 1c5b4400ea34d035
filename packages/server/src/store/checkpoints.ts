import type { SnapshotKind } from '@opencomputer/protocol';
import type { CheckpointRow, NewCheckpointRow, SandboxRow, Store } from './tables.ts';

export function findCheckpoint(store: Store, id: string): Promise<CheckpointRow | undefined> {
  return store.selectFrom('checkpoints').selectAll().where('id', '=', id).executeTakeFirst();
}

/** The checkpoints of a sandbox that clients see, newest first. */
export function checkpointsOf(store: Store, sandboxId: string): Promise<CheckpointRow[]> {
  return store
    .selectFrom('checkpoints')
    .selectAll()
    .where('sandbox_id', '=', sandboxId)
    .where('name', 'is not', null)
    .where('state', '!=', 'deleting')
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .execute();
}

export interface CheckpointPage {
  readonly owner: string;
  readonly after?: { readonly createdAt: number; readonly id: string } | undefined;
  readonly limit: number;
}

/** The checkpoints of an owner that clients see, newest first. */
export function checkpointsOfOwner(store: Store, page: CheckpointPage): Promise<CheckpointRow[]> {
  let query = store
    .selectFrom('checkpoints')
    .selectAll()
    .where('owner', '=', page.owner)
    .where('name', 'is not', null)
    .where('state', '!=', 'deleting');
  const { after } = page;
  if (after !== undefined)
    query = query.where((eb) =>
      eb.or([
        eb('created_at', '<', after.createdAt),
        eb.and([eb('created_at', '=', after.createdAt), eb('id', '<', after.id)]),
      ]),
    );
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(page.limit).execute();
}

/** Checkpoints whose files are, or may be, on a worker. */
export function checkpointsWithFiles(store: Store, workerId: string): Promise<CheckpointRow[]> {
  return store
    .selectFrom('checkpoints')
    .selectAll()
    .where('worker_id', '=', workerId)
    .where('state', '!=', 'failed')
    .execute();
}

/** Named checkpoints of one kind that count against its limit, oldest first. */
export function countedCheckpoints(
  store: Store,
  sandboxId: string,
  kind: SnapshotKind,
): Promise<CheckpointRow[]> {
  return store
    .selectFrom('checkpoints')
    .selectAll()
    .where('sandbox_id', '=', sandboxId)
    .where('kind', '=', kind)
    .where('name', 'is not', null)
    .where('state', 'in', ['processing', 'ready'])
    .orderBy('created_at')
    .orderBy('id')
    .execute();
}

export async function insertCheckpoint(store: Store, row: NewCheckpointRow): Promise<void> {
  await store.insertInto('checkpoints').values(row).execute();
}

/** A time after that of every other checkpoint of the sandbox, so that their order is certain. */
export async function nextCheckpointTime(store: Store, sandboxId: string): Promise<number> {
  const row = await store
    .selectFrom('checkpoints')
    .select((eb) => eb.fn.max('created_at').as('last'))
    .where('sandbox_id', '=', sandboxId)
    .executeTakeFirst();
  return Math.max(Date.now(), (row?.last ?? 0) + 1);
}

/** True when a checkpoint of a sandbox that is ready, or being written, has the name. */
export async function checkpointNameTaken(store: Store, sandboxId: string, name: string): Promise<boolean> {
  const row = await store
    .selectFrom('checkpoints')
    .select('id')
    .where('sandbox_id', '=', sandboxId)
    .where('name', '=', name)
    .where('state', 'in', ['processing', 'ready'])
    .executeTakeFirst();
  return row !== undefined;
}

/** Forgets failed checkpoints of a sandbox: all of one name, and of the others all but the newest `kept`. */
export async function pruneFailedCheckpoints(
  store: Store,
  sandboxId: string,
  name: string,
  kept: number,
): Promise<void> {
  const failed = await store
    .selectFrom('checkpoints')
    .select(['id', 'name'])
    .where('sandbox_id', '=', sandboxId)
    .where('state', '=', 'failed')
    .orderBy('created_at', 'desc')
    .execute();
  for (const [index, row] of failed.entries())
    if (row.name === name || index >= kept)
      await store.deleteFrom('checkpoints').where('id', '=', row.id).execute();
}

/** Checkpoints that were made for one call and whose call has ended. */
export function namelessCheckpoints(store: Store): Promise<CheckpointRow[]> {
  return store.selectFrom('checkpoints').selectAll().where('name', 'is', null).execute();
}

export async function updateCheckpoint(
  store: Store,
  id: string,
  values: Partial<
    Pick<
      CheckpointRow,
      'state' | 'error' | 'size_bytes' | 'pause_ms' | 'quiesced' | 'is_public' | 'failed_at' | 'created_at'
    >
  >,
): Promise<CheckpointRow | undefined> {
  return store.updateTable('checkpoints').set(values).where('id', '=', id).returningAll().executeTakeFirst();
}

/** Deletes the row; what came from the checkpoint then comes from its parent. */
export async function removeCheckpoint(store: Store, id: string): Promise<void> {
  const row = await findCheckpoint(store, id);
  if (row === undefined) return;
  const parent = row.parent_id;
  await store.updateTable('checkpoints').set({ parent_id: parent }).where('parent_id', '=', id).execute();
  await store
    .updateTable('sandboxes')
    .set({ base_checkpoint_id: parent })
    .where('base_checkpoint_id', '=', id)
    .execute();
  await store.deleteFrom('checkpoints').where('id', '=', id).execute();
}

/** Sandboxes of an owner that were forked from some checkpoints and have not stopped. */
export function forksOf(
  store: Store,
  owner: string,
  checkpointIds: readonly string[],
): Promise<SandboxRow[]> {
  return store
    .selectFrom('sandboxes')
    .selectAll()
    .where('owner', '=', owner)
    .where('from_checkpoint_id', 'in', checkpointIds)
    .where('state', 'in', ['creating', 'running', 'hibernated', 'error'])
    .orderBy('created_at', 'desc')
    .limit(10_000)
    .execute();
}
