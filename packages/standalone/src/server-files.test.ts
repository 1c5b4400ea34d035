import {
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { prepareServerFiles } from './server-files.ts';

const user = 299_999;

function setUp() {
  const root = mkdtempSync(join(tmpdir(), 'oc-files-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const dataDir = join(root, 'data');
  mkdirSync(dataDir);
  const secret = join(root, 'secret');
  writeFileSync(secret, 'secret', { mode: 0o600 });
  return { dataDir, secret, server: join(dataDir, 'server'), keyFile: join(dataDir, 'api-key') };
}

const owner = (path: string): number => lstatSync(path).uid;

describe.runIf(process.getuid?.() === 0)('the files of the server', () => {
  test('are made for its user, closed to all others', async () => {
    const { dataDir, server, keyFile } = setUp();
    await prepareServerFiles(dataDir, user);
    await prepareServerFiles(dataDir, user);
    for (const [path, mode] of [
      [server, 0o700],
      [keyFile, 0o600],
    ] as const) {
      const found = lstatSync(path);
      expect([found.uid, found.gid, found.mode & 0o777]).toEqual([user, user, mode]);
    }
  });

  test('are left alone once the directory has been given away', async () => {
    const { dataDir, secret, server } = setUp();
    await prepareServerFiles(dataDir, user);
    symlinkSync(secret, join(server, 'zz'));
    linkSync(secret, join(server, 'second-name'));
    await prepareServerFiles(dataDir, user);
    expect(owner(secret)).toBe(0);
  });

  test('that an earlier release has left to root are given away', async () => {
    const { dataDir, server } = setUp();
    mkdirSync(server, { mode: 0o700 });
    writeFileSync(join(server, 'opencomputer.db'), 'x');
    writeFileSync(join(server, 'server.lock'), '');
    chownSync(join(server, 'server.lock'), user, user);
    await prepareServerFiles(dataDir, user);
    expect(['', 'opencomputer.db', 'server.lock'].map((name) => owner(join(server, name)))).toEqual([
      user,
      user,
      user,
    ]);
  });

  test.each(['symbolic', 'second name'])('a %s link in a directory of root is not followed', async (kind) => {
    const { dataDir, secret, server } = setUp();
    mkdirSync(server, { mode: 0o700 });
    (kind === 'symbolic' ? symlinkSync : linkSync)(secret, join(server, 'opencomputer.db'));
    await expect(prepareServerFiles(dataDir, user)).rejects.toThrow();
    expect([owner(secret), owner(server)]).toEqual([0, 0]);
  });

  test('a directory of a third user is refused by name', async () => {
    const { dataDir, server } = setUp();
    mkdirSync(server);
    chownSync(server, 12_345, 12_345);
    await expect(prepareServerFiles(dataDir, user)).rejects.toThrow(/data\/server belongs to user 12345/);
  });

  test('links in place of the directory or the key are not followed', async () => {
    const { dataDir, secret, server, keyFile } = setUp();
    symlinkSync(secret, keyFile);
    await expect(prepareServerFiles(dataDir, user)).rejects.toThrow();
    rmSync(server, { recursive: true });
    symlinkSync(dataDir, server);
    await expect(prepareServerFiles(dataDir, user)).rejects.toThrow();
    expect([owner(secret), owner(dataDir)]).toEqual([0, 0]);
  });
});
