import { Client } from 'pg';
import type { DirectoryLock } from './lock.ts';

/** Our advisory lock of the one server: "oc" and a number. */
const serverLock = 0x6f63_0002;
const connectMs = 10_000;
/** Seconds without an answer after which the host asks the other whether it is still there. */
const keepAliveMs = 10_000;

/**
 * Takes the lock that lets one server at a time work with a database of PostgreSQL. It belongs to a connection, which
 * PostgreSQL ends when the server or its host has gone.
 * @param lost told when the connection ends before the release: another server may have the lock from then on
 * @throws Error when another server holds it, or the database cannot be reached
 */
export async function lockPostgres(url: string, lost: (error: Error) => void): Promise<DirectoryLock> {
  const client = new Client({
    connectionString: url,
    application_name: 'opencomputer lock',
    connectionTimeoutMillis: connectMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
  });
  let holds = false;
  let cause: Error | undefined;
  // The first says why; the next that the connection has ended.
  client.on('error', (error) => (cause ??= error));
  client.on('end', () => {
    if (holds) lost(cause ?? new Error('the connection that holds the lock of the database ended'));
  });
  await client.connect();
  const { rows } = await client.query<{ held: boolean }>('select pg_try_advisory_lock($1) as held', [
    serverLock,
  ]);
  if (rows[0]?.held !== true) {
    await client.end();
    throw new Error(
      'another server uses the database of OPENCOMPUTER_DATABASE_URL: stop it, or give this one another',
    );
  }
  holds = true;
  return {
    release: () => {
      holds = false;
      void client.end().catch(lost);
    },
  };
}
