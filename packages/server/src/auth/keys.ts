import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { ApiError } from '@opencomputer/protocol';
import { findKeyByHash, findKeyById, insertKey, listKeys, revokeKeyById } from '../store/keys.ts';
import type { ApiKeyRow, Store } from '../store/tables.ts';

/** Who makes a request. */
export interface Caller {
  readonly owner: string;
  /** The key, also that with which a token was made; undefined for a token of a release that did not note it. */
  readonly keyId: string | undefined;
  /** The only sandbox that it may use, for one who shows the token of a sandbox. */
  readonly sandboxId?: string;
  /** Unix seconds at which credentials end that are made from this one, for one who shows a token. */
  readonly until?: number;
}

/** How long a key that was found valid is trusted without looking again: a revocation takes this long at most. */
const trustMs = 1000;
const cachedKeys = 10_000;

/** The owner of keys that name none. */
export const defaultOwner = 'default';

const keyPrefixLength = 12;

export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** A new key: `osb_` and 64 hex digits. */
export function generateKey(): string {
  return `osb_${randomBytes(32).toString('hex')}`;
}

/** The row of a key. The key itself is not kept. */
export function keyRow(key: string, about: Pick<ApiKeyRow, 'owner' | 'name' | 'source'>): ApiKeyRow {
  return {
    ...about,
    id: randomBytes(4).toString('hex'),
    prefix: key.slice(0, Math.min(keyPrefixLength, Math.floor(key.length / 2))),
    hash: hashKey(key),
    created_at: Date.now(),
    revoked_at: null,
  };
}

interface Trusted {
  readonly caller: Caller;
  /** Milliseconds of the process's clock. */
  readonly trustedUntil: number;
}

/** Says who a key belongs to. */
export class KeyVerifier {
  readonly #store: Store;
  readonly #now: () => number;
  /** By hash, or by id, which is shorter. */
  readonly #cache = new Map<string, Trusted>();

  /** @param now milliseconds of a clock that only goes forward */
  constructor(store: Store, now: () => number = () => performance.now()) {
    this.#store = store;
    this.#now = now;
  }

  /** @throws ApiError `unauthorized` when the key is missing, unknown or revoked. */
  async verify(key: string | undefined): Promise<Caller> {
    if (key === undefined || key === '') throw new ApiError('unauthorized', 'missing API key');
    const hash = hashKey(key);
    return this.#trusted(hash, async () => {
      const row = await findKeyByHash(this.#store, hash);
      const matches = row !== undefined && timingSafeEqual(Buffer.from(row.hash), Buffer.from(hash));
      return matches ? row : undefined;
    });
  }

  /** The same for a key that is known by its id. @throws ApiError `unauthorized` when it is unknown or revoked. */
  verifyId(id: string): Promise<Caller> {
    return this.#trusted(id, () => findKeyById(this.#store, id));
  }

  async #trusted(name: string, find: () => Promise<ApiKeyRow | undefined>): Promise<Caller> {
    const now = this.#now();
    const cached = this.#cache.get(name);
    if (cached !== undefined && cached.trustedUntil > now) return cached.caller;
    this.#cache.delete(name);
    const row = await find();
    if (row === undefined) throw new ApiError('unauthorized', 'unknown API key');
    if (row.revoked_at !== null) throw new ApiError('unauthorized', 'the API key was revoked');
    if (this.#cache.size >= cachedKeys) this.#cache.clear();
    const caller = { owner: row.owner, keyId: row.id };
    this.#cache.set(name, { caller, trustedUntil: now + trustMs });
    return caller;
  }
}

const namePattern = /^[\w.@-]{1,64}$/;

function checkName(what: string, name: string): void {
  if (!namePattern.test(name))
    throw new Error(
      `${what} must be 1 to 64 letters, digits, or one of . _ @ -, got ${JSON.stringify(name)}`,
    );
}

/** Adds a key and returns it; it cannot be read again. @throws Error on a bad name. */
export async function addKey(
  store: Store,
  name: string,
  owner: string,
): Promise<{ key: string; row: ApiKeyRow }> {
  checkName('the name', name);
  checkName('the owner', owner);
  const key = generateKey();
  const row = keyRow(key, { name, owner, source: 'command' });
  await insertKey(store, row);
  return { key, row };
}

/**
 * Revokes one key, named by its id or by the start of the key.
 * @throws Error when none or more than one matches, or it was revoked before.
 */
export async function revokeKey(store: Store, idOrPrefix: string): Promise<ApiKeyRow> {
  const rows = await listKeys(store);
  const byId = rows.filter((row) => row.id === idOrPrefix);
  const byPrefix = rows.filter(
    (row) => row.prefix.startsWith(idOrPrefix) || row.hash === hashKey(idOrPrefix),
  );
  const found = byId.length > 0 ? byId : byPrefix;
  const [row] = found;
  if (row === undefined || idOrPrefix === '') throw new Error(`no key has the id or prefix ${idOrPrefix}`);
  if (found.length > 1)
    throw new Error(`${found.length} keys start with ${idOrPrefix}: give the id of one, see "list"`);
  if (row.revoked_at !== null) throw new Error(`key ${row.id} was revoked before`);
  await revokeKeyById(store, row.id, Date.now());
  return row;
}
