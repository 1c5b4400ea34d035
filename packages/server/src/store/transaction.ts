import type { Store } from './tables.ts';

/**
 * Does work in one transaction: all of it is kept, or, when it throws, nothing. It must change nothing outside of the
 * database that could not be changed twice.
 */
export function transact<T>(store: Store, work: (tx: Store) => Promise<T>): Promise<T> {
  return store.transaction().execute(work);
}
