import { type Expression, PostgresAdapter, type RawBuilder, sql } from 'kysely';
import type { Store } from './tables.ts';

/** The text at a key of a JSON object that a column holds as text; null where there is none. */
export function textAt(store: Store, column: Expression<string>, key: string): RawBuilder<string | null> {
  return store.getExecutor().adapter instanceof PostgresAdapter
    ? sql`${column}::jsonb ->> ${key}`
    : sql`(select value from json_each(${column}) where key = ${key})`;
}
