import type { Store } from './tables.ts';

/** The value of a setting, made and kept on first use. */
export async function settingOrNew(store: Store, name: string, make: () => string): Promise<string> {
  await store
    .insertInto('settings')
    .values({ name, value: make() })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute();
  const row = await store
    .selectFrom('settings')
    .select('value')
    .where('name', '=', name)
    .executeTakeFirstOrThrow();
  return row.value;
}

/** Proves that the database takes writes. @throws Error when it does not, e.g. on a full disk. */
export async function probeWrite(store: Store): Promise<void> {
  const value = String(Date.now());
  await store
    .insertInto('settings')
    .values({ name: 'write-probe', value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute();
}
