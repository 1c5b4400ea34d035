import type { ApiKeyRow, Store } from './tables.ts';

export function findKeyByHash(store: Store, hash: string): Promise<ApiKeyRow | undefined> {
  return store.selectFrom('api_keys').selectAll().where('hash', '=', hash).executeTakeFirst();
}

export function findKeyById(store: Store, id: string): Promise<ApiKeyRow | undefined> {
  return store.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst();
}

/** So many ids fit into one query. */
const idsAtOnce = 500;

/** Which of these keys are revoked. */
export async function revokedAmong(store: Store, ids: readonly string[]): Promise<string[]> {
  const revoked: string[] = [];
  for (let start = 0; start < ids.length; start += idsAtOnce) {
    const rows = await store
      .selectFrom('api_keys')
      .select('id')
      .where('id', 'in', ids.slice(start, start + idsAtOnce))
      .where('revoked_at', 'is not', null)
      .execute();
    revoked.push(...rows.map(({ id }) => id));
  }
  return revoked;
}

export function listKeys(store: Store): Promise<ApiKeyRow[]> {
  return store.selectFrom('api_keys').selectAll().orderBy('created_at').orderBy('id').execute();
}

export async function insertKey(store: Store, row: ApiKeyRow): Promise<void> {
  await store.insertInto('api_keys').values(row).execute();
}

export async function revokeKeyById(store: Store, id: string, at: number): Promise<void> {
  await store
    .updateTable('api_keys')
    .set({ revoked_at: at })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .execute();
}

/** Revokes the keys that came from the configuration, but for one. */
export async function revokeOtherBootstrapKeys(store: Store, keepHash: string, at: number): Promise<void> {
  await store
    .updateTable('api_keys')
    .set({ revoked_at: at })
    .where('source', '=', 'bootstrap')
    .where('hash', '!=', keepHash)
    .where('revoked_at', 'is', null)
    .execute();
}
