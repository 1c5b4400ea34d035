import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { inject } from 'vitest';
import { openStore } from '../store/database.ts';
import type { Store } from '../store/tables.ts';

/** Whether tests run against PostgreSQL. */
export const onPostgres = inject('postgres') !== undefined;

const newName = (): string => `test_${randomUUID().replaceAll('-', '')}`;

async function ask(cluster: string, statement: string): Promise<void> {
  const client = new Client(cluster);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/**
 * Address of a new and empty database of PostgreSQL, where tests run against that. They run against SQLite and then
 * against PostgreSQL, by the projects in vitest.config.ts.
 * @returns undefined where tests run against SQLite
 */
export async function newPostgres(): Promise<string | undefined> {
  const cluster = inject('postgres');
  if (cluster === undefined) return undefined;
  const name = newName();
  await ask(cluster, `create database ${name}`);
  return cluster.replace('/postgres?', `/${name}?`);
}

/** A store of its own, empty; with PostgreSQL it is a schema, which takes a tenth of the time of a database. */
export async function newStore(): Promise<Store> {
  const cluster = inject('postgres');
  if (cluster === undefined) return openStore(':memory:');
  const name = newName();
  await ask(cluster, `create schema ${name}`);
  return openStore(`${cluster}&options=${encodeURIComponent(`-c search_path=${name}`)}`);
}
