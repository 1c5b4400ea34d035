import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { pendingMigrations } from './migrations.ts';
import { NodeSqliteDialect } from './sqlite-dialect.ts';
import type { Store, Tables } from './tables.ts';

/** Milliseconds to wait for a lock that another process holds, e.g. the command that manages keys. */
const lockWaitMs = 5000;

function migrate(database: DatabaseSync): void {
  // The lock comes first, since two processes may open a new database at once.
  database.exec('begin immediate');
  try {
    const row = database.prepare('pragma user_version').get();
    for (const { version, sql } of pendingMigrations('sqlite', Number(row?.['user_version'] ?? 0)))
      database.exec(`${sql}; pragma user_version = ${version}`);
    database.exec('commit');
  } catch (error) {
    if (database.isTransaction) database.exec('rollback');
    throw error;
  }
}

/**
 * Opens a database of SQLite, creating or migrating it.
 * @param path file, or `:memory:`
 * @throws Error when it cannot be opened or was written by a newer release
 */
export function openSqlite(path: string): Store {
  const database = new DatabaseSync(path, { timeout: lockWaitMs, enableForeignKeyConstraints: true });
  try {
    database.exec('pragma journal_mode = wal; pragma synchronous = full');
    migrate(database);
  } catch (error) {
    database.close();
    throw error;
  }
  return new Kysely<Tables>({ dialect: new NodeSqliteDialect(database) });
}
