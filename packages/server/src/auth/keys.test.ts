import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { runKeysCommand, UsageError } from '../commands/keys.ts';
import { listKeys } from '../store/keys.ts';
import type { Store } from '../store/tables.ts';
import { newStore as newTestStore } from '../testing/database.ts';
import { temporaryDirectory } from '../testing/harness.ts';
import { ensureFirstKey } from './bootstrap.ts';
import { addKey, KeyVerifier, revokeKey } from './keys.ts';

async function newStore(): Promise<Store> {
  const store = await newTestStore();
  onTestFinished(() => store.destroy());
  return store;
}

describe('keys', () => {
  test('a key that was added is known, without being stored', async () => {
    const store = await newStore();
    const { key, row } = await addKey(store, 'ci', 'acme');
    expect(key).toMatch(/^osb_[0-9a-f]{64}$/);
    expect(await new KeyVerifier(store).verify(key)).toMatchObject({ owner: 'acme', keyId: row.id });
    expect(JSON.stringify(await listKeys(store))).not.toContain(key);
  });

  test.each([undefined, '', 'osb_wrong'])('the key %s is refused', async (key) => {
    const store = await newStore();
    await addKey(store, 'ci', 'acme');
    await expect(new KeyVerifier(store).verify(key)).rejects.toMatchObject({ code: 'unauthorized' });
  });

  test('a revoked key is refused within a second', async () => {
    const store = await newStore();
    let now = 0;
    const verifier = new KeyVerifier(store, () => now);
    const { key, row } = await addKey(store, 'ci', 'acme');
    await verifier.verify(key);
    await revokeKey(store, row.id);
    now = 1000;
    await expect(verifier.verify(key)).rejects.toThrow('revoked');
  });

  test('revoking needs exactly one fitting key', async () => {
    const store = await newStore();
    const { row } = await addKey(store, 'a', 'acme');
    await addKey(store, 'b', 'acme');
    await expect(revokeKey(store, 'osb_')).rejects.toThrow('2 keys start with');
    await expect(revokeKey(store, 'nothing')).rejects.toThrow('no key has');
    await expect(revokeKey(store, '')).rejects.toThrow('no key has');
    await revokeKey(store, row.prefix);
    await expect(revokeKey(store, row.id)).rejects.toThrow('revoked before');
  });
});

describe('the first key', () => {
  test('is generated once and written for its owner only', async () => {
    using directory = temporaryDirectory();
    const store = await newStore();
    const file = join(directory.path, 'api-key');
    const made = await ensureFirstKey(store, undefined, file);
    expect(readFileSync(file, 'utf8').trim()).toBe(made?.key);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await ensureFirstKey(store, undefined, file)).toBeUndefined();
    expect(await new KeyVerifier(store).verify(made?.key)).toMatchObject({ owner: 'default' });
  });

  test('replaces what is in its file, and closes that to others first', async () => {
    using directory = temporaryDirectory();
    const file = join(directory.path, 'api-key');
    writeFileSync(file, 'x'.repeat(500), { mode: 0o644 });
    const made = await ensureFirstKey(await newStore(), undefined, file);
    expect(readFileSync(file, 'utf8')).toBe(`${made?.key}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('is written through no link', async () => {
    using directory = temporaryDirectory();
    const [file, target] = [join(directory.path, 'api-key'), join(directory.path, 'target')];
    writeFileSync(target, 'kept');
    symlinkSync(target, file);
    await expect(ensureFirstKey(await newStore(), undefined, file)).rejects.toThrow();
    expect(readFileSync(target, 'utf8')).toBe('kept');
  });

  test('is the configured one, and another configured one replaces it', async () => {
    using directory = temporaryDirectory();
    const store = await newStore();
    const file = join(directory.path, 'api-key');
    await ensureFirstKey(store, 'first-configured-key', file);
    await ensureFirstKey(store, 'second-configured-key', file);
    const verifier = new KeyVerifier(store);
    await expect(verifier.verify('first-configured-key')).rejects.toThrow('revoked');
    await verifier.verify('second-configured-key');
    await expect(ensureFirstKey(store, 'first-configured-key', file)).rejects.toThrow('OPENCOMPUTER_API_KEY');
  });

  test('is not generated while another is valid', async () => {
    using directory = temporaryDirectory();
    const store = await newStore();
    await addKey(store, 'ci', 'acme');
    expect(await ensureFirstKey(store, undefined, join(directory.path, 'api-key'))).toBeUndefined();
    expect(existsSync(join(directory.path, 'api-key'))).toBe(false);
  });
});

describe('the command', () => {
  test('adds, lists and revokes', async () => {
    const store = await newStore();
    const key = (await runKeysCommand(store, ['add', 'ci', '--owner', 'acme'])).split('\n')[0] ?? '';
    const listed = await runKeysCommand(store, ['list']);
    expect(listed).toContain('acme');
    expect(listed).not.toContain(key);
    expect(await runKeysCommand(store, ['revoke', key.slice(0, 12)])).toContain('revoked key');
    await expect(new KeyVerifier(store).verify(key)).rejects.toThrow('revoked');
  });

  test.each([
    [[]],
    [['frobnicate']],
    [['add']],
    [['add', 'a', 'b']],
    [['list', 'x']],
    [['list', '--owner', 'x']],
    [['revoke']],
    [['--nonsense']],
  ])('%j is a usage error', async (args) => {
    await expect(runKeysCommand(await newStore(), args)).rejects.toBeInstanceOf(UsageError);
  });

  test.each(['', 'a b', '../x', 'x'.repeat(65)])('the name %j is refused', async (name) => {
    await expect(runKeysCommand(await newStore(), ['add', name])).rejects.toThrow('the name must be');
  });
});
