import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../testing/harness.ts';
import { newPostgres, newStore } from '../testing/database.ts';
import { openStore } from './database.ts';
import { readMigrations } from './migrations.ts';
import { NodeSqliteDialect } from './sqlite-dialect.ts';
import { lockDirectory } from './lock.ts';
import { settingOrNew } from './settings.ts';

describe('database', () => {
  test('is created, kept and opened again', async () => {
    using directory = temporaryDirectory();
    const location = (await newPostgres()) ?? join(directory.path, 'a.db');
    const first = await openStore(location);
    expect(await settingOrNew(first, 'name', () => 'one')).toBe('one');
    await first.destroy();
    const second = await openStore(location);
    expect(await settingOrNew(second, 'name', () => 'two')).toBe('one');
    await second.destroy();
  });

  test('a full disk is told as such, and the next transaction works', async () => {
    const raw = new DatabaseSync(':memory:');
    raw.exec('create table t (x); pragma max_page_count = 8');
    const store = new Kysely<{ t: { x: string } }>({ dialect: new NodeSqliteDialect(raw) });
    const write = (bytes: number) =>
      store.transaction().execute((tx) =>
        tx
          .insertInto('t')
          .values({ x: 'x'.repeat(bytes) })
          .execute(),
      );
    await expect(write(100_000)).rejects.toMatchObject({ errcode: 13 });
    await write(100);
    expect(await store.selectFrom('t').selectAll().execute()).toHaveLength(1);
    await store.destroy();
  });

  test('writes durably, with foreign keys', async () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, 'a.db');
    await (await openStore(path)).destroy();
    const raw = new DatabaseSync(path);
    expect(raw.prepare('pragma journal_mode').get()?.['journal_mode']).toBe('wal');
    raw.close();
  });

  test('a newer one is refused and left alone', async () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, 'a.db');
    const raw = new DatabaseSync(path);
    raw.exec('pragma user_version = 999');
    await expect(openStore(path)).rejects.toThrow(/schema version 999.*newer release/);
    expect(raw.prepare('select count(*) as n from sqlite_master').get()?.['n']).toBe(0);
    raw.close();
  });

  test('a file that is no database is refused', async () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, 'a.db');
    writeFileSync(path, 'x'.repeat(5000));
    await expect(openStore(path)).rejects.toThrow(/cannot open the database/);
  });

  test('migrations with a gap are refused', () => {
    using directory = temporaryDirectory();
    writeFileSync(join(directory.path, '0001-a.sql'), 'select 1;');
    writeFileSync(join(directory.path, '0003-b.sql'), 'select 1;');
    expect(() => readMigrations('sqlite', directory.path)).toThrow(/0003-b.sql: expected number 2/);
  });

  test('a transaction that fails leaves nothing', async () => {
    const store = await newStore();
    const failing = store.transaction().execute(async (tx) => {
      await settingOrNew(tx, 'name', () => 'one');
      throw new Error('broken');
    });
    await expect(failing).rejects.toThrow('broken');
    expect(await settingOrNew(store, 'name', () => 'two')).toBe('two');
    await store.destroy();
  });
});

describe('lock of the data directory', () => {
  test('is held once and free after release', () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, 'server.lock');
    const lock = lockDirectory(path, directory.path);
    expect(() => lockDirectory(path, directory.path)).toThrow(/another server uses the data directory/);
    lock.release();
    lockDirectory(path, directory.path).release();
  });

  test('says when the file cannot be used', () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, 'server.lock');
    writeFileSync(path, 'x'.repeat(5000));
    expect(() => lockDirectory(path, directory.path)).toThrow(/cannot (lock|open)|not a database/);
  });
});
