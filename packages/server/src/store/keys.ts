import type { ApiKeyRow, Store } from './tables.ts';

export function findKeyByHash(store: Store, hash: string): Promise<ApiKeyRow | undefined> {
  return store.selectFrom('api_keys').selectAll().where('hash', '=', hash).executeTakeFirst();
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
