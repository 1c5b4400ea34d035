import type { Log } from '../observe/log.ts';
import { openPostgres } from './postgres.ts';
import { openSqlite } from './sqlite.ts';
import type { Store } from './tables.ts';

/** True for the address of a PostgreSQL server; anything else is a file. */
function isPostgresUrl(location: string): boolean {
  return /^postgres(ql)?:\/\//.test(location);
}

/** The location as it may be shown: without a password. */
function shown(location: string): string {
  if (!isPostgresUrl(location)) return location;
  try {
    const { hostname, port, pathname } = new URL(location);
    return `postgres://${hostname}${port === '' ? '' : `:${port}`}${pathname}`;
  } catch {
    return 'OPENCOMPUTER_DATABASE_URL';
  }
}

/**
 * Opens the database, creating or migrating it.
 * @param location `postgres://…`, a file of SQLite, or `:memory:`
 * @throws Error when it cannot be opened or was written by a newer release
 */
export async function openStore(location: string, log?: Log): Promise<Store> {
  try {
    return isPostgresUrl(location) ? await openPostgres(location, log) : openSqlite(location);
  } catch (error) {
    throw new Error(`cannot open the database ${shown(location)}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
