import { PostgresAdapter } from 'kysely';
import type { Store } from './tables.ts';

/** True for a store in PostgreSQL; else it is in SQLite. */
export function isPostgres(store: Store): boolean {
  return store.getExecutor().adapter instanceof PostgresAdapter;
}
