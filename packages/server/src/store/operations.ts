import { sql } from 'kysely';
import { textAt } from './json.ts';
import type { OperationRow, Store } from './tables.ts';

export async function insertOperation(store: Store, row: OperationRow): Promise<void> {
  await store.insertInto('operations').values(row).execute();
}

/** Operations that have not ended, in the order in which they began. */
export function unfinishedOperations(store: Store): Promise<OperationRow[]> {
  return store
    .selectFrom('operations')
    .selectAll()
    .where('state', 'in', ['running', 'undoing'])
    .orderBy('created_at')
    .orderBy(sql`rowid`)
    .execute();
}

export async function updateOperation(
  store: Store,
  id: string,
  values: Partial<Pick<OperationRow, 'state' | 'step' | 'attempts' | 'error'>>,
): Promise<void> {
  await store
    .updateTable('operations')
    .set({ ...values, updated_at: Date.now() })
    .where('id', '=', id)
    .execute();
}

/** Forgets operations that ended before a time. */
export async function pruneOperations(store: Store, endedBefore: number): Promise<void> {
  await store
    .deleteFrom('operations')
    .where('state', 'in', ['done', 'undone'])
    .where('updated_at', '<', endedBefore)
    .execute();
}

/** True when the operation that took a checkpoint was undone, as far back as operations are kept. */
export async function checkpointWasUndone(store: Store, checkpointId: string): Promise<boolean> {
  const row = await store
    .selectFrom('operations')
    .select('id')
    .where('kind', '=', 'checkpoint')
    .where('state', '=', 'undone')
    .where((eb) => eb(textAt(store, eb.ref('input'), 'checkpointId'), '=', checkpointId))
    .executeTakeFirst();
  return row !== undefined;
}
