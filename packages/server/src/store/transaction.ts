import { setTimeout as delay } from 'node:timers/promises';
import { isPostgres } from './dialect.ts';
import type { Store } from './tables.ts';

/**
 * Conflicts with other transactions, after which the same again may succeed: serialization_failure and
 * deadlock_detected, https://www.postgresql.org/docs/15/errcodes-appendix.html.
 */
const conflicts: readonly unknown[] = ['40001', '40P01'];
const attemptsMax = 20;
/** Milliseconds of the longest pause before the second attempt; it doubles with each, up to a hundred times this. */
const pauseMs = 5;

/**
 * Does work in a transaction as if no other ran at the same time. SQLite has one writer; PostgreSQL refuses what would
 * not be so, and then the work is done anew: it must change nothing outside of the database.
 * @throws what the work throws, and what the database does, which has kept nothing of it then
 */
export async function transact<T>(store: Store, work: (tx: Store) => Promise<T>): Promise<T> {
  if (!isPostgres(store)) return store.transaction().execute(work);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await store.transaction().setIsolationLevel('serializable').execute(work);
    } catch (error) {
      if (attempt === attemptsMax || !conflicts.includes((error as { code?: unknown }).code)) throw error;
      await delay(Math.random() * pauseMs * 2 ** Math.min(attempt, 7));
    }
  }
}
