import type { Store } from './tables.ts';

/** Does something in one transaction: all of it is kept, or, when `work` throws, nothing. */
export function inTransaction<T>(store: Store, work: (tx: Store) => Promise<T>): Promise<T> {
  return store.transaction().execute(work);
}
