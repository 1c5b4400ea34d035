import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { scratchDirectory } from '../testing/scratch.ts';
import { discardDirectory } from './trash.ts';

const execute = promisify(execFile);

describe('discarding', () => {
  test('removes a directory with all in it, and follows no link out of it', async () => {
    const directory = await scratchDirectory();
    const [victim, trash, outside] = ['victim', 'trash', 'outside'].map((name) => join(directory, name));
    if (victim === undefined || trash === undefined || outside === undefined)
      throw new Error('three paths are due');
    await mkdir(join(victim, 'run/deep'), { recursive: true });
    await mkdir(outside);
    await writeFile(join(outside, 'kept'), 'kept');
    await writeFile(join(victim, 'run/deep/file'), '');
    await chmod(join(victim, 'run/deep'), 0o500);
    await symlink(outside, join(victim, 'run/link'));
    await discardDirectory(victim, trash);
    expect(existsSync(victim)).toBe(false);
    expect(await readdir(trash)).toEqual([]);
    expect(await readFile(join(outside, 'kept'), 'utf8')).toBe('kept');
  });

  test('one that is not there is fine', async () => {
    const directory = await scratchDirectory();
    await discardDirectory(join(directory, 'missing'), join(directory, 'trash'));
    expect(await readdir(join(directory, 'trash'))).toEqual([]);
  });

  test('that fails half way leaves the rest in the trash, and nothing under the name', async () => {
    const directory = await scratchDirectory();
    const victim = join(directory, 'victim');
    await mkdir(victim);
    await writeFile(join(victim, 'stuck'), '');
    await writeFile(join(victim, 'loose'), '');
    // An immutable file stands for a crash in the middle: neither can be removed at the first try.
    await execute('chattr', ['+i', join(victim, 'stuck')]);
    const removalError = /EPERM|ENOTDIR/; // Node tries to remove a directory next, and reports that failure.
    try {
      await expect(discardDirectory(victim, join(directory, 'trash'))).rejects.toThrow(removalError);
      expect(existsSync(victim)).toBe(false);
      const [grave = ''] = await readdir(join(directory, 'trash'));
      expect(await readdir(join(directory, 'trash', grave))).toContain('stuck');
    } finally {
      await execute('chattr', ['-R', '-i', directory]);
    }
  });

  test('two of one name at once: both end, nothing is left', async () => {
    const directory = await scratchDirectory();
    await mkdir(join(directory, 'victim'));
    await Promise.all(
      [1, 2].map(() => discardDirectory(join(directory, 'victim'), join(directory, 'trash'))),
    );
    expect(await readdir(directory)).toEqual(['trash']);
    expect(await readdir(join(directory, 'trash'))).toEqual([]);
  });
});
