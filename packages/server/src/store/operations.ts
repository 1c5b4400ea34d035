import { sql } from 'kysely';
import { textAt } from './json.ts';
import type { OperationRow, Store } from './tables.ts';

export async function insertOperation(store: Store, row: OperationRow): Promise<void> {
  await store.insertInto('operations').values(row).execute();
}

/**
 * Whether an operation was written by a transaction whose connection broke at its end, so that nobody has heard how it
 * ended. Writing the same again and taking that back waits until the database has decided, which reading would not.
 * @throws what the database does when it does not answer: it has to be asked again
 */
export function operationWasWritten(store: Store, row: OperationRow): Promise<boolean> {
  return store.transaction().execute(async (tx) => {
    const written = await tx
      .insertInto('operations')
      .values(row)
      .onConflict((conflict) => conflict.column('id').doNothing())
      .returning('id')
      .executeTakeFirst();
    if (written === undefined) return true;
    await tx.deleteFrom('operations').where('id', '=', row.id).execute();
    return false;
  });
}

/**
 * Whether the transaction that finishes a step of an operation was committed, although its connection broke. Changing the
 * row waits until the database has decided.
 * @param row as it was before
 * @throws what the database does when it does not answer: it has to be asked again
 */
export async function stepWasWritten(store: Store, row: OperationRow): Promise<boolean> {
  await updateOperation(store, row, {});
  const now = await findOperation(store, row.id);
  return now !== undefined && now.owner === row.owner && now.step > row.step;
}

/** The same for the transaction that ends an undo, in which the operation may have been forgotten with its subject. */
export async function undoWasWritten(store: Store, row: OperationRow): Promise<boolean> {
  await updateOperation(store, row, {});
  const now = await findOperation(store, row.id);
  return now === undefined || (now.owner === row.owner && now.state === 'undone');
}

/** What an operation works on. */
export interface Subject {
  readonly kind: string;
  readonly id: string;
}

const unfinished: readonly OperationRow['state'][] = ['running', 'undoing'];

/** Operations that have not ended, in the order in which they began. */
export function unfinishedOperations(store: Store): Promise<OperationRow[]> {
  return store
    .selectFrom('operations')
    .selectAll()
    .where('state', 'in', unfinished)
    .orderBy('created_at')
    .orderBy(sql`rowid`)
    .execute();
}

export function findOperation(store: Store, id: string): Promise<OperationRow | undefined> {
  return store.selectFrom('operations').selectAll().where('id', '=', id).executeTakeFirst();
}

/** The operation on a subject that another server runs, or has left. */
export function operationOfAnother(
  store: Store,
  { kind, id }: Subject,
  owner: string,
): Promise<OperationRow | undefined> {
  return store
    .selectFrom('operations')
    .selectAll()
    .where('subject_kind', '=', kind)
    .where('subject_id', '=', id)
    .where('state', 'in', unfinished)
    .where('owner', '!=', owner)
    .executeTakeFirst();
}

export interface Claim {
  readonly owner: string;
  readonly until: number;
  /** Whether the lease of the present owner is respected; not where that is known to be dead. */
  readonly respectLease: boolean;
}

/**
 * Makes a server the owner of an operation that has not ended and whose lease is over, by one conditional update.
 * @returns The row; undefined when it has ended, or belongs to another.
 */
export function claimOperation(
  store: Store,
  id: string,
  { owner, until, respectLease }: Claim,
): Promise<OperationRow | undefined> {
  const update = store
    .updateTable('operations')
    .set({ owner, owned_until: until })
    .where('id', '=', id)
    .where('state', 'in', unfinished);
  const claim = respectLease ? update.where('owned_until', '<', Date.now()) : update;
  return claim.returningAll().executeTakeFirst();
}

/** Renews the leases of a server. @returns the ids of the operations that are still its own */
export async function renewLeases(
  store: Store,
  owner: string,
  ids: readonly string[],
  until: number,
): Promise<string[]> {
  const rows = await store
    .updateTable('operations')
    .set({ owned_until: until })
    .where('owner', '=', owner)
    .where('id', 'in', ids)
    .returning('id')
    .execute();
  return rows.map(({ id }) => id);
}

/** Ends the leases of a server on what it has not finished, so that others need not wait for their end. */
export async function releaseLeases(store: Store, owner: string): Promise<void> {
  await store
    .updateTable('operations')
    .set({ owned_until: 0 })
    .where('owner', '=', owner)
    .where('state', 'in', unfinished)
    .execute();
}

/** Changes an operation of a server. @returns false when it belongs to another, or is gone: nothing has changed */
export async function updateOperation(
  store: Store,
  { id, owner }: Pick<OperationRow, 'id' | 'owner'>,
  values: Partial<Pick<OperationRow, 'state' | 'step' | 'attempts' | 'error'>>,
): Promise<boolean> {
  const row = await store
    .updateTable('operations')
    .set({ ...values, updated_at: Date.now() })
    .where('id', '=', id)
    .where('owner', '=', owner)
    .returning('id')
    .executeTakeFirst();
  return row !== undefined;
}

/** Forgets all operations on a subject. */
export async function forgetOperations(store: Store, { kind, id }: Subject): Promise<void> {
  await store
    .deleteFrom('operations')
    .where('subject_kind', '=', kind)
    .where('subject_id', '=', id)
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
