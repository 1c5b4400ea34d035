import { execFile } from 'node:child_process';
import { constants, link, mkdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { failureOf, scratchDirectory } from '../testing/scratch.ts';
import { syncFile } from './atomic-file.ts';
import { computeChecksums, updateChecksums } from './checksums.ts';
import { FileDamaged, Integrity } from './integrity.ts';
import { NotOurFile, openUntrusted, pathOfHandle, withUntrusted } from './untrusted-file.ts';

const execute = promisify(execFile);

/**
 * What QEMU's user could put in place of a file. Opening such a file by its name would follow it, or block for ever.
 */
async function impostors(directory: string): Promise<[what: string, path: string][]> {
  const target = join(directory, 'target');
  await writeFile(target, 'of somebody else');
  const paths = Object.fromEntries(
    ['link', 'broken', 'pipe', 'socket', 'folder'].map((name) => [name, join(directory, name)]),
  ) as Record<'link' | 'broken' | 'pipe' | 'socket' | 'folder', string>;
  await symlink(target, paths.link);
  await symlink(join(directory, 'nothing'), paths.broken);
  await execute('mkfifo', [paths.pipe]);
  await mkdir(paths.folder);
  const server = createServer().listen(paths.socket);
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return [
    ['a symbolic link', paths.link],
    ['a symbolic link', paths.broken],
    ['a pipe', paths.pipe],
    ['a socket', paths.socket],
    ['not a regular file', paths.folder],
  ];
}

describe('a file that QEMU may have replaced', () => {
  test('is refused, without waiting, when it is none, and says what it is', async () => {
    for (const [what, path] of await impostors(await scratchDirectory()))
      for (const flags of [constants.O_RDONLY, constants.O_RDWR]) {
        const error = await failureOf(openUntrusted(path, { flags }));
        // A directory cannot be opened for writing anyway.
        if (path.endsWith('folder') && flags === constants.O_RDWR) expect(error.message).toContain('EISDIR');
        else expect([error.name, error.message]).toEqual(['NotOurFile', expect.stringContaining(what)]);
        expect(error.message).toContain(path);
      }
  });

  test('is opened when it is what it should be', async () => {
    const path = join(await scratchDirectory(), 'file');
    await writeFile(path, 'content');
    const own = process.getuid?.();
    const read = withUntrusted(path, { links: 1, owner: (uid) => uid === own }, async (file) => {
      expect(await readFile(pathOfHandle(file), 'utf8')).toBe('content');
      return file.readFile('utf8');
    });
    expect(await read).toBe('content');
  });

  test('is refused when it has another owner, or names that it should not have', async () => {
    const path = join(await scratchDirectory(), 'file');
    await writeFile(path, 'content');
    await expect(openUntrusted(path, { owner: () => false })).rejects.toThrow('belongs to user');
    await link(path, `${path}-2`);
    await expect(openUntrusted(path, { links: 1 })).rejects.toThrow('has 2 names, and should have 1');
  });

  test('nothing that reads, verifies or syncs one hangs', async () => {
    const integrity = new Integrity('qemu-img');
    for (const [, path] of await impostors(await scratchDirectory())) {
      await expect(integrity.verify(path, '1-00')).rejects.toThrow(FileDamaged);
      if (path.endsWith('folder')) continue;
      await expect(computeChecksums(path, 'qemu-img')).rejects.toThrow(NotOurFile);
      await expect(updateChecksums(path, new Uint32Array(1), [[0, 1]])).rejects.toThrow(NotOurFile);
      await expect(syncFile(path)).rejects.toThrow(NotOurFile);
      await expect(integrity.digest(path)).rejects.toThrow(NotOurFile);
    }
  });

  test('the holes of a large one are found by its handle', async () => {
    const path = join(await scratchDirectory(), 'file');
    await writeFile(path, 'x');
    await truncate(path, 64 * 1024 * 1024);
    const checksums = await computeChecksums(path, 'qemu-img');
    expect(new Set(checksums).size).toBe(2);
  });
});
