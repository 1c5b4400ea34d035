import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { inject } from 'vitest';
import { openStore } from '../store/database.ts';
import type { Store } from '../store/tables.ts';

/**
 * Address of a new and empty database of PostgreSQL, where tests run against that. They run against SQLite and then
 * against PostgreSQL, by the projects in vitest.config.ts.
 * @returns undefined where tests run against SQLite
 */
export async function newPostgres(): Promise<string | undefined> {
  const cluster = inject('postgres');
  if (cluster === undefined) return undefined;
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const client = new Client(cluster);
  await client.connect();
  try {
    await client.query(`create database ${name}`);
  } finally {
    await client.end();
  }
  return cluster.replace('/postgres?', `/${name}?`);
}

/** A store of its own, empty. */
export async function newStore(): Promise<Store> {
  return openStore((await newPostgres()) ?? ':memory:');
}
