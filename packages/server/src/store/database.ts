import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { NodeSqliteDialect } from './dialect.ts';
import type { Store, Tables } from './tables.ts';

const migrationsDirectory = join(import.meta.dirname, 'migrations');

/** Milliseconds to wait for a lock that another process holds, e.g. the command that manages keys. */
const lockWaitMs = 5000;

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** The migrations in order. @throws Error when a number is missing or given twice. */
export function readMigrations(directory = migrationsDirectory): Migration[] {
  const names = readdirSync(directory)
    .filter((name) => name.endsWith('.sql'))
    .toSorted();
  return names.map((name, index) => {
    const version = Number.parseInt(name, 10);
    if (version !== index + 1)
      throw new Error(`migration ${name}: expected number ${index + 1}, without gaps or repetition`);
    return { version, name, sql: readFileSync(join(directory, name), 'utf8') };
  });
}

/** Read when this module is: the user that opens a database may not be allowed to read the program's files. */
const shippedMigrations = readMigrations();

function migrate(database: DatabaseSync, migrations: readonly Migration[]): void {
  const newest = migrations.length;
  // The lock comes first, since two processes may open a new database at once.
  database.exec('begin immediate');
  try {
    const row = database.prepare('pragma user_version').get();
    const current = Number(row?.['user_version'] ?? 0);
    if (current > newest)
      throw new Error(
        `the database has schema version ${current}, this release knows ${newest}: start the newer release`,
      );
    for (const migration of migrations.slice(current)) database.exec(migration.sql);
    if (current !== newest) database.exec(`pragma user_version = ${newest}`);
    database.exec('commit');
  } catch (error) {
    if (database.isTransaction) database.exec('rollback');
    throw error;
  }
}

/**
 * Opens the database, creating or migrating it.
 * @param path File, or `:memory:`.
 * @throws Error when it cannot be opened or was written by a newer release.
 */
export function openStore(path: string): Store {
  const database = new DatabaseSync(path, { timeout: lockWaitMs, enableForeignKeyConstraints: true });
  try {
    database.exec('pragma journal_mode = wal; pragma synchronous = full');
    migrate(database, shippedMigrations);
  } catch (error) {
    database.close();
    throw new Error(`cannot open the database ${path}: ${(error as Error).message}`, { cause: error });
  }
  return new Kysely<Tables>({ dialect: new NodeSqliteDialect(database) });
}
