import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../testing/harness.ts';
import { openStore } from './database.ts';
import { readMigrations } from './migrations.ts';
import { addEvent, listEvents } from './events.ts';
import { changeSandbox, findSandbox } from './sandboxes.ts';

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
  expect(await store.selectFrom('operations').select('id').execute()).toEqual([{ id: 'op' }]);
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
