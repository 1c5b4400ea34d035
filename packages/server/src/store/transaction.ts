import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseError } from 'pg';
import { KeyedLock } from '../keyed-lock.ts';
import { isPostgres } from './dialect.ts';
import type { Store } from './tables.ts';

/**
 * Conflicts with other transactions, after which the same again may succeed: serialization_failure and
 * deadlock_detected, https://www.postgresql.org/docs/15/errcodes-appendix.html.
 */
const conflicts: readonly unknown[] = ['40001', '40P01'];
/** Ends of a connection, and statement_completion_unknown: whether a commit has happened is not known then. */
const breaks = /^(57P|08|40003)/;
/** Attempts of whoever's turn it is: what it conflicts with then is of another server, or had begun before. */
const attemptsMax = 20;
/** Milliseconds of the longest pause after the first of them; it doubles with each, up to 128 times this. */
const pauseMs = 5;
/** Those that go one by one, by database. */
const turns = new KeyedLock<Store>();

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
  if (!turns.held(store)) {
    try {
      return await attempt(store, work);
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
  // Of many at once all but one may conflict, and would again: from here on they go one by one.
  return turns.hold(store, async () => {
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await attempt(store, work);
      } catch (error) {
        if (attempts === attemptsMax || !isConflict(error)) throw error;
        await delay(Math.random() * pauseMs * 2 ** Math.min(attempts - 1, 7));
      }
    }
  });
}

async function attempt<T>(store: Store, work: (tx: Store) => Promise<T>): Promise<T> {
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
    throw error;
  }
}

function isConflict(error: unknown): boolean {
  return conflicts.includes((error as { code?: unknown }).code);
}

/** Whether an error of the database is the end of its connection: anything else is its answer. */
function broken(error: unknown): boolean {
  return !(error instanceof DatabaseError) || breaks.test(error.code ?? '');
}
