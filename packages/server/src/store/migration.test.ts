import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { expect, test } from 'vitest';
import { newPostgres } from '../testing/database.ts';
import { temporaryDirectory } from '../testing/harness.ts';
import { openStore } from './database.ts';
import { readMigrations } from './migrations.ts';
import { addEvent, listEvents } from './events.ts';
import { claimOperation, unfinishedOperations } from './operations.ts';
import { changeSandbox, deleteSandbox, findSandbox, sandboxesInState } from './sandboxes.ts';
import { allWorkers, noteContact, workerOfCheckpoint, workerOfSandbox } from './workers.ts';

test('operations that an older release left unfinished are taken up in their order, by whoever comes first', async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'a.db');
  const raw = new DatabaseSync(path);
  for (const { sql } of readMigrations('sqlite').slice(0, 3)) raw.exec(sql);
  const columns = `id, owner, state, template, cpu_count, memory_mb, disk_mb, envs, metadata, timeout_s, created_at,
    last_active_at, worker_id, emulated`;
  raw.exec(`
    pragma user_version = 3;
    insert into sandboxes (${columns}) values ('sb-1', 'o', 'running', 'base', 1, 512, 20480, '{}', '{}', 300, 1, 3, 'w', 1);
    insert into operations values ('b', 'hibernate', 'sb-1', '{"actor":"client"}', 'running', 0, 0, null, 5, 5, 900);
    insert into operations values ('a', 'stop', 'sb-1', '{}', 'undoing', 1, 2, '{"error":"no"}', 5, 6, 901);
  `);
  raw.close();
  const store = await openStore(path);
  const left = await unfinishedOperations(store);
  expect(left).toMatchObject([
    { id: 'b', subject_id: 'sb-1', input: '{"actor":"client"}', step: 0, deadline_at: 900 },
    { id: 'a', subject_id: 'sb-1', state: 'undoing', error: '{"error":"no"}', step: 1, attempts: 2 },
  ]);
  const claim = { owner: 'server', until: Date.now() + 60_000, respectLease: true };
  expect(await claimOperation(store, 'b', claim)).toMatchObject({ owner: 'server' });
  expect(await claimOperation(store, 'b', { ...claim, owner: 'other' })).toBeUndefined();
  await deleteSandbox(store, 'sb-1');
  expect(await unfinishedOperations(store)).toEqual([]);
  await store.destroy();
});

test('a database of the first schema keeps all it has, and its rows can hibernate', async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'a.db');
  const raw = new DatabaseSync(path);
  raw.exec(readMigrations('sqlite')[0]?.sql ?? '');
  raw.exec(`
    pragma user_version = 1;
    insert into sandboxes values ('sb-00000001', 'o', 'running', null, 'base', 1, 512, 20480, '{"A":"1"}', '{}',
      300, 1, 2, 3, null, 'w', 1);
    insert into operations values ('op', 'create', 'sb-00000001', '{}', 'done', 1, 1, null, 1, 1, 1);
    insert into events (id, sandbox_id, time, actor, kind) values (7, 'sb-00000001', 1, 'client', 'create');
  `);
  raw.close();
  const store = await openStore(path);
  expect(await findSandbox(store, 'sb-00000001')).toMatchObject({
    state: 'running',
    envs: '{"A":"1"}',
    emulated: 1,
    hibernation_bytes: 0,
    from_checkpoint_id: null,
  });
  const operations = await store
    .selectFrom('operations')
    .select(['id', 'subject_kind', 'subject_id'])
    .execute();
  expect(operations).toEqual([{ id: 'op', subject_kind: 'sandbox', subject_id: 'sb-00000001' }]);
  const hibernate = { action: 'hibernate', actor: 'client' } as const;
  expect(await changeSandbox(store, 'sb-00000001', hibernate)).toMatchObject({ state: 'hibernated' });
  const events = await listEvents(store, 'sb-00000001', 0, 10);
  expect(events.map(({ id, kind }) => [id, kind])).toEqual([
    [7, 'create'],
    [8, 'hibernate'],
  ]);
  const orphan = addEvent(store, { sandbox_id: 'sb-ffffffff', kind: 'x', actor: 'system' });
  await expect(orphan).rejects.toThrow(/FOREIGN KEY/);
  await store.destroy();
});

/** Makes a database as a release with this schema left it. @returns its location */
async function oldDatabase(file: string, version: number, rows: string): Promise<string> {
  const url = await newPostgres();
  if (url === undefined) {
    const raw = new DatabaseSync(file);
    for (const { sql } of readMigrations('sqlite').slice(0, version)) raw.exec(sql);
    raw.exec(`pragma user_version = ${version}; ${rows}`);
    raw.close();
    return file;
  }
  const client = new Client(url);
  await client.connect();
  await client.query('create table schema_version (version bigint not null)');
  for (const { sql } of readMigrations('postgres').slice(0, version)) await client.query(sql);
  await client.query(`insert into schema_version values (${version}); ${rows}`);
  await client.end();
  return url;
}

test('sandboxes and checkpoints from before workers were written down are given to the first one, and stay its', async () => {
  using directory = temporaryDirectory();
  const sandbox = `insert into sandboxes (id, owner, state, template, cpu_count, memory_mb, disk_mb, envs, metadata,
    timeout_s, created_at, last_active_at, worker_id, emulated) values`;
  const checkpoint = `insert into checkpoints (id, owner, sandbox_id, kind, state, template, cpu_count, memory_mb,
    disk_mb, envs, metadata, size_bytes, is_public, created_at) values`;
  // The host was renamed once, and one sandbox was still being created.
  const location = await oldDatabase(
    join(directory.path, 'a.db'),
    4,
    `${sandbox} ('sb-1', 'o', 'running', 'base', 1, 512, 20480, '{}', '{}', 300, 1, 3, 'name-before', 1);
     ${sandbox} ('sb-2', 'o', 'hibernated', 'base', 1, 512, 20480, '{}', '{}', 300, 1, 3, 'name-now', 1);
     ${sandbox} ('sb-3', 'o', 'creating', 'base', 1, 512, 20480, '{}', '{}', 300, 1, 3, '', 1);
     ${checkpoint} ('c-1', 'o', 'sb-1', 'full', 'ready', 'base', 1, 512, 20480, '{}', '{}', 7, 0, 1);`,
  );
  const store = await openStore(location);
  expect(await allWorkers(store)).toEqual([]);
  expect(await workerOfCheckpoint(store, 'c-1')).toBe('');
  const first = { id: 'wk-1', address: '/one', machines_max: 10, memory_mb_max: 2 ** 40 };
  expect(await noteContact(store, first)).toEqual({ isNew: true });
  expect(await noteContact(store, first)).toEqual({ isNew: false });
  expect(await noteContact(store, { ...first, id: 'wk-2', address: '/two' })).toEqual({ isNew: true });
  for (const id of ['sb-1', 'sb-2', 'sb-3']) expect(await workerOfSandbox(store, id)).toBe('wk-1');
  expect(await workerOfCheckpoint(store, 'c-1')).toBe('wk-1');
  expect((await sandboxesInState(store, 'running', 'wk-1')).map(({ id }) => id)).toEqual(['sb-1']);
  expect(await sandboxesInState(store, 'running', 'wk-2')).toEqual([]);
  expect(await allWorkers(store)).toMatchObject([first, { id: 'wk-2', state: 'active', address: '/two' }]);
  await store.destroy();
});
