import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { findKeyByHash, insertKey, listKeys, revokeOtherBootstrapKeys } from '../store/keys.ts';
import type { Store } from '../store/tables.ts';
import { defaultOwner, generateKey, hashKey, keyRow } from './keys.ts';
import { transact } from '../store/transaction.ts';

/** A key that was generated, to be shown once. */
export interface NewKey {
  readonly key: string;
  /** Where it was written. */
  readonly path: string;
}

/**
 * Writes the key where the clients of this host look for it; only the owner of the file may read it. It is written in
 * place: the directory may be another user's, who has made the file for us.
 */
function writeKeyFile(path: string, key: string): void {
  const { O_WRONLY, O_CREAT, O_NOFOLLOW } = constants;
  const file = openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    // One that is there already may be open to more readers than a key should have.
    fchmodSync(file, 0o600);
    const line = Buffer.from(`${key}\n`);
    writeSync(file, line, 0, line.length, 0);
    ftruncateSync(file, line.length);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function readKeyFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Makes sure that there is a key to begin with: the configured one, or a new one when no valid key exists.
 * A configured key replaces the one that was configured before; one that was revoked stays revoked.
 * @returns The new key when one was generated.
 * @throws Error when the configured key was revoked.
 */
export async function ensureFirstKey(
  store: Store,
  configured: string | undefined,
  keyFile: string,
): Promise<NewKey | undefined> {
  if (configured === undefined) {
    const keys = await listKeys(store);
    if (keys.some((key) => key.revoked_at === null)) return undefined;
  }
  const key = configured ?? generateKey();
  const hash = hashKey(key);
  const known = await findKeyByHash(store, hash);
  if (known !== undefined && known.revoked_at !== null)
    throw new Error(
      `OPENCOMPUTER_API_KEY: key ${known.id} was revoked and stays so; set another key, or none to have one generated`,
    );
  if (readKeyFile(keyFile) !== key) writeKeyFile(keyFile, key);
  await transact(store, async (tx) => {
    if (configured !== undefined) await revokeOtherBootstrapKeys(tx, hash, Date.now());
    if (known === undefined)
      await insertKey(tx, keyRow(key, { name: 'bootstrap', owner: defaultOwner, source: 'bootstrap' }));
  });
  return configured === undefined ? { key, path: keyFile } : undefined;
}
