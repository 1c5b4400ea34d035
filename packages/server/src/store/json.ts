import { type Expression, type RawBuilder, sql } from 'kysely';
import { isPostgres } from './dialect.ts';
import type { Store } from './tables.ts';

/** The text at a key of a JSON object that a column holds as text; null where there is none. */
export function textAt(store: Store, column: Expression<string>, key: string): RawBuilder<string | null> {
  return isPostgres(store)
    ? sql`${column}::jsonb ->> ${key}`
    : sql`(select value from json_each(${column}) where key = ${key})`;
}
