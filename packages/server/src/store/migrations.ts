import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The databases that the store speaks to. */
export const dialects = ['sqlite', 'postgres'] as const;
export type Dialect = (typeof dialects)[number];

/** One change of the schema. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

const migrationsDirectory = join(import.meta.dirname, 'migrations');
const fileName = /^(\d{4})-([a-z-]+)(?:\.(sqlite|postgres))?\.sql$/;

/**
 * The migrations for a dialect, in order. `0001-name.sql` is for both; where SQL does not allow that, there is
 * `0001-name.sqlite.sql` beside `0001-name.postgres.sql`.
 * @throws Error when a number is missing or given twice, or a file is named otherwise
 */
export function readMigrations(dialect: Dialect, directory = migrationsDirectory): Migration[] {
  const migrations: Migration[] = [];
  for (const file of readdirSync(directory).toSorted()) {
    const [, number, name, only] = fileName.exec(file) ?? [];
    if (number === undefined || name === undefined)
      throw new Error(`migration ${file}: expected a name such as 0001-initial.sql`);
    if (only !== undefined && only !== dialect) continue;
    const version = Number(number);
    if (version !== migrations.length + 1)
      throw new Error(
        `migration ${file}: expected number ${migrations.length + 1}, without gaps or repetition`,
      );
    migrations.push({ version, name, sql: readFileSync(join(directory, file), 'utf8') });
  }
  return migrations;
}

/** Read when this module is: the user that opens a database may not be allowed to read the program's files. */
const shipped = { sqlite: readMigrations('sqlite'), postgres: readMigrations('postgres') };

/**
 * What a database of schema version `current` lacks.
 * @throws Error when it was written by a newer release
 */
export function pendingMigrations(dialect: Dialect, current: number): readonly Migration[] {
  const all = shipped[dialect];
  if (current > all.length)
    throw new Error(
      `the database has schema version ${current}, this release knows ${all.length}: start the newer release`,
    );
  return all.slice(current);
}
