import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseError } from 'pg';
import { isPostgres } from './dialect.ts';
import type { Store } from './tables.ts';

/**
 * Conflicts with other transactions, after which the same again may succeed: serialization_failure and
 * deadlock_detected, https://www.postgresql.org/docs/15/errcodes-appendix.html.
 */
const conflicts: readonly unknown[] = ['40001', '40P01'];
/** Ends of a connection, and statement_completion_unknown: whether a commit has happened is not known then. */
const breaks = /^(57P|08|40003)/;
const attemptsMax = 20;
/** Milliseconds of the longest pause before the second attempt; it doubles with each, up to a hundred times this. */
const pauseMs = 5;

/** The connection broke at the commit of a transaction: it may have happened, or may yet. */
export class OutcomeUnknown extends Error {
  constructor(cause: unknown) {
    super(`the connection to the database broke at a commit: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Does work in a transaction as if no other ran at the same time. SQLite has one writer; PostgreSQL refuses what would
 * not be so, and then the work is done anew: it must change nothing outside of the database.
 * @throws what the work throws, and what the database does, which has kept nothing of it then; OutcomeUnknown
 */
export async function transact<T>(store: Store, work: (tx: Store) => Promise<T>): Promise<T> {
  if (!isPostgres(store)) return store.transaction().execute(work);
  for (let attempt = 1; ; attempt += 1) {
    let worked = false;
    try {
      return await store
        .transaction()
        .setIsolationLevel('serializable')
        .execute(async (tx) => {
          const result = await work(tx);
          worked = true;
          return result;
        });
    } catch (error) {
      if (worked && broken(error)) throw new OutcomeUnknown(error);
      if (attempt === attemptsMax || !conflicts.includes((error as { code?: unknown }).code)) throw error;
      await delay(Math.random() * pauseMs * 2 ** Math.min(attempt, 7));
    }
  }
}

/** Whether an error of the database is the end of its connection: anything else is its answer. */
function broken(error: unknown): boolean {
  return !(error instanceof DatabaseError) || breaks.test(error.code ?? '');
}
