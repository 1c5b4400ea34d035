import { DatabaseSync } from 'node:sqlite';

const sqliteBusy = 5;

/** A lock that only one process holds and that dies with it. */
export interface DirectoryLock {
  release(): void;
}

/**
 * Takes the lock of a data directory. The lock is SQLite's lock on an empty database file: the kernel drops it when
 * the process ends, however it ends, so that a stale file never stands in the way.
 * @throws Error when another process holds it.
 */
export function lockDirectory(path: string, directory: string): DirectoryLock {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    // The journal would only be a file that a killed process leaves behind.
    database.exec('pragma journal_mode = memory; begin exclusive');
  } catch (error) {
    database.close();
    const { errcode = 0 } = error as { errcode?: number };
    if ((errcode & 0xff) !== sqliteBusy)
      throw new Error(`cannot lock ${path}: ${(error as Error).message}`, { cause: error });
    throw new Error(
      `another server uses the data directory ${directory}: stop it, or set OPENCOMPUTER_DATA_DIR to another directory`,
      { cause: error },
    );
  }
  return { release: () => database.close() };
}
