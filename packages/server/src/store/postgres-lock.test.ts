import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { newPostgres } from '../testing/database.ts';
import { lockPostgres } from './postgres-lock.ts';

const url = await newPostgres();
const unexpected = (error: Error): void => {
  throw error;
};

describe.skipIf(url === undefined)('the lock of a database of PostgreSQL', () => {
  const location = url ?? '';

  test('is held once and free after the release', async () => {
    const lock = await lockPostgres(location, unexpected);
    await expect(lockPostgres(location, unexpected)).rejects.toThrow(/another server uses the database/);
    await lock.release();
    // Each is the next server after the one before.
    for (let round = 0; round < 50; round++) await (await lockPostgres(location, unexpected)).release();
  });

  test('is told to be lost when its connection ends', async () => {
    const { promise, resolve } = Promise.withResolvers<Error>();
    await expect.poll(() => lockPostgres(location, resolve).then(() => true)).toBe(true);
    const admin = new Client(location);
    await admin.connect();
    await admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'opencomputer lock'",
    );
    await admin.end();
    expect((await promise).message).toMatch(/terminating connection/);
    const next = await lockPostgres(location, unexpected);
    await next.release();
  });
});
