import {
  HandleEmptyInListsPlugin,
  Kysely,
  PostgresDialect,
  replaceWithNoncontingentExpression,
  sql,
} from 'kysely';
import { Client, type ClientConfig, type CustomTypesConfig, Pool, types as parsers } from 'pg';
import type { Log } from '../observe/log.ts';
import { pendingMigrations } from './migrations.ts';
import type { Store, Tables } from './tables.ts';

/** Connections of one server; PostgreSQL allows 100 for all of its clients by default. */
const connectionsMax = 10;
/** Milliseconds that making a connection may take. */
const connectMs = 10_000;
/** Milliseconds to wait for one while all are in use: many who begin at once have their turn one after the other. */
const turnMs = 60_000;
/** Milliseconds that one statement may take; a migration may take longer. */
const statementMs = 60_000;
/** Our advisory lock: "oc" and a number, of which the schema has the first. */
const schemaLock = 0x6f63_0001;

const { builtins } = parsers;
/** Counts and times are numbers, as they are with SQLite: both are far below 2^53. */
const numbers: ReadonlySet<number> = new Set([builtins.INT8, builtins.NUMERIC]);
const types: CustomTypesConfig = {
  getTypeParser: (id, format) =>
    numbers.has(id) ? Number : (parsers.getTypeParser(id, format) as (text: string) => unknown),
};

/** A connection of the pool, whose own limit is for the wait. */
class PoolClient extends Client {
  constructor(config?: ClientConfig) {
    super({ ...config, connectionTimeoutMillis: connectMs });
  }
}

async function migrate(store: Store): Promise<void> {
  await store.transaction().execute(async (tx) => {
    await sql`set local statement_timeout = 0`.execute(tx);
    // Several servers may start at once.
    await sql`select pg_advisory_xact_lock(${schemaLock})`.execute(tx);
    await sql`create table if not exists schema_version (version bigint not null)`.execute(tx);
    const { rows } = await sql<{ version: number }>`select version from schema_version`.execute(tx);
    const current = rows[0]?.version;
    if (current === undefined) await sql`insert into schema_version values (0)`.execute(tx);
    for (const migration of pendingMigrations('postgres', current ?? 0)) {
      await sql.raw(migration.sql).execute(tx);
      await sql`update schema_version set version = ${migration.version}`.execute(tx);
    }
  });
}

/**
 * Opens a database of PostgreSQL, of version 15 or newer, creating or migrating its tables.
 * @param url as https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING describes
 * @throws Error when it cannot be reached, refuses the user, or was written by a newer release
 */
export async function openPostgres(url: string, log?: Log): Promise<Store> {
  const pool = new Pool({
    connectionString: url,
    application_name: 'opencomputer',
    max: connectionsMax,
    connectionTimeoutMillis: turnMs,
    Client: PoolClient,
    statement_timeout: statementMs,
    types,
  });
  // Whoever uses it hears of it by what it asks, and the next query makes another; unheard, it would end the process.
  pool.on('connect', (client) => {
    client.on('error', (error) => log?.warn({ err: error }, 'a connection to the database broke'));
  });
  // The same once more, where nobody uses it.
  pool.on('error', (error) =>
    log?.debug({ err: error }, 'an unused connection to the database was given up'),
  );
  const store = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool }),
    // SQLite takes `in ()`, which nothing is in.
    plugins: [new HandleEmptyInListsPlugin({ strategy: replaceWithNoncontingentExpression })],
  });
  try {
    await migrate(store);
  } catch (error) {
    await store.destroy();
    throw error;
  }
  return store;
}
