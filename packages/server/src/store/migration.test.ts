import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../testing/harness.ts';
import { openStore } from './database.ts';
import { readMigrations } from './migrations.ts';
import { addEvent, listEvents } from './events.ts';
import { claimOperation, unfinishedOperations } from './operations.ts';
import { changeSandbox, deleteSandbox, findSandbox } from './sandboxes.ts';

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
