import { liveStates } from './quota.ts';
import type { Store, WorkerRow } from './tables.ts';
import { transact } from './transaction.ts';

/** What a worker says of itself, and where it was reached. */
export type WorkerContact = Pick<WorkerRow, 'id' | 'address' | 'machines_max' | 'memory_mb_max'>;

/** All workers that were ever met, by id. */
export function allWorkers(store: Store): Promise<WorkerRow[]> {
  return store.selectFrom('workers').selectAll().orderBy('id').execute();
}

/**
 * Writes down that a worker was met. The first one of a database is given all sandboxes and checkpoints that are there:
 * they are from before workers were written down, when there was one, whatever it was called.
 * @returns whether it was met for the first time
 */
export async function noteContact(store: Store, contact: WorkerContact): Promise<{ isNew: boolean }> {
  const { id, address } = contact;
  return transact(store, async (tx) => {
    const known = await allWorkers(tx);
    const values = { ...contact, last_seen_at: Date.now() };
    const isNew = known.every((row) => row.id !== id);
    // Who was there before is not any more.
    await tx
      .updateTable('workers')
      .set({ address: null })
      .where('address', '=', address)
      .where('id', '!=', id)
      .execute();
    if (isNew)
      await tx
        .insertInto('workers')
        .values({ ...values, state: 'active' })
        .execute();
    else await tx.updateTable('workers').set(values).where('id', '=', id).execute();
    if (known.length > 0) return { isNew };
    await tx.updateTable('sandboxes').set({ worker_id: id }).execute();
    await tx.updateTable('checkpoints').set({ worker_id: id }).execute();
    return { isNew };
  });
}

/** Writes down that a worker has just answered. */
export async function noteSeen(store: Store, id: string): Promise<void> {
  await store.updateTable('workers').set({ last_seen_at: Date.now() }).where('id', '=', id).execute();
}

/** What the sandboxes of a worker that hold a machine ask of it. */
export interface Load {
  readonly machines: number;
  readonly memoryMB: number;
}

/** The load of every worker that has any, by the id of the worker. */
export async function loadOfWorkers(store: Store): Promise<Map<string, Load>> {
  const rows = await store
    .selectFrom('sandboxes')
    .select((eb) => [
      'worker_id',
      eb.fn.countAll<number>().as('machines'),
      eb.fn.sum<number>('memory_mb').as('memory_mb'),
    ])
    .where('state', 'in', liveStates)
    .groupBy('worker_id')
    .execute();
  return new Map(
    rows.map(({ worker_id, machines, memory_mb }) => [worker_id, { machines, memoryMB: memory_mb }]),
  );
}

/** The worker that a sandbox is on; undefined when there is no such sandbox. */
export async function workerOfSandbox(store: Store, id: string): Promise<string | undefined> {
  const query = store.selectFrom('sandboxes').select('worker_id').where('id', '=', id);
  return (await query.executeTakeFirst())?.worker_id;
}

/** The worker that the files of a checkpoint are on; undefined when there is no such checkpoint. */
export async function workerOfCheckpoint(store: Store, id: string): Promise<string | undefined> {
  const query = store.selectFrom('checkpoints').select('worker_id').where('id', '=', id);
  return (await query.executeTakeFirst())?.worker_id;
}
