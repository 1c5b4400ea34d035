import { Client } from 'pg';

/** Our advisory lock of the one server: "oc" and a number. */
const serverLock = 0x6f63_0002;
const connectMs = 10_000;
/** Milliseconds without an answer after which the host asks the other whether it is still there. */
const keepAliveMs = 10_000;

export interface PostgresLock {
  /** Another server can have it once this has settled. */
  release(): Promise<void>;
}

/**
 * Takes the lock that lets one server at a time work with a database of PostgreSQL. It belongs to a connection, which
 * PostgreSQL ends when the server or its host has gone.
 * @param lost told when the connection ends before the release: another server may have the lock from then on
 * @throws Error when another server holds it, or the database cannot be reached
 */
export async function lockPostgres(url: string, lost: (error: Error) => void): Promise<PostgresLock> {
  const client = new Client({
    connectionString: url,
    application_name: 'opencomputer lock',
    connectionTimeoutMillis: connectMs,
    query_timeout: connectMs,
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
    release: async () => {
      holds = false;
      // PostgreSQL may notice only later that the connection has ended, and the next server may start at once.
      await client.query('select pg_advisory_unlock($1)', [serverLock]).catch(lost);
      await client.end().catch(lost);
    },
  };
}
