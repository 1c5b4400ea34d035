import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { newStore } from '../testing/database.ts';
import { settingOrNew } from './settings.ts';
import { transact } from './transaction.ts';

test('more than a hundred transactions at once that conflict all succeed, as if one came after the other', async () => {
  const store = await newStore();
  const count = 150;
  await Promise.all(
    Array.from({ length: count }, () =>
      transact(store, async (tx) => {
        const { rows } = await sql<{ n: number }>`select count(*) as n from settings`.execute(tx);
        await settingOrNew(tx, `number ${rows[0]?.n}`, () => 'taken');
      }),
    ),
  );
  const names = await store.selectFrom('settings').select('name').execute();
  expect(new Set(names.map(({ name }) => name))).toEqual(
    new Set(Array.from({ length: count }, (_, n) => `number ${n}`)),
  );
  await store.destroy();
});

test('a transaction that fails keeps nobody waiting', async () => {
  const store = await newStore();
  const failing = Array.from({ length: 20 }, (_, n) =>
    transact(store, async (tx) => {
      await settingOrNew(tx, 'name', () => String(n));
      throw new Error(`not ${n}`);
    }),
  );
  const reasons = (await Promise.allSettled(failing)).map(
    (one) => one.status === 'rejected' && String(one.reason),
  );
  expect(reasons).toEqual(failing.map((_, n) => `Error: not ${n}`));
  expect(await transact(store, (tx) => settingOrNew(tx, 'name', () => 'last'))).toBe('last');
  await store.destroy();
});
