import { existsSync } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { scratchDirectory } from '../testing/scratch.ts';
import { linkFile } from './links.ts';

describe('linking', () => {
  test('gives the same file a second name', async () => {
    const directory = await scratchDirectory();
    await writeFile(join(directory, 'a'), 'content');
    await linkFile(join(directory, 'a'), join(directory, 'b'));
    expect((await stat(join(directory, 'b'))).ino).toBe((await stat(join(directory, 'a'))).ino);
  });

  test('between file systems fails with what to change', async () => {
    const directory = await scratchDirectory();
    await writeFile(join(directory, 'a'), '');
    const elsewhere = `/dev/shm/opencomputer-link-${process.pid}`;
    await expect(linkFile(join(directory, 'a'), elsewhere)).rejects.toThrow('OPENCOMPUTER_CACHE_DIR');
    expect(existsSync(elsewhere)).toBe(false);
  });

  test('onto a name that is taken, or from one that is missing, is the system’s error', async () => {
    const directory = await scratchDirectory();
    await writeFile(join(directory, 'a'), 'a');
    await writeFile(join(directory, 'b'), 'b');
    await expect(linkFile(join(directory, 'a'), join(directory, 'b'))).rejects.toThrow('EEXIST');
    await expect(linkFile(join(directory, 'c'), join(directory, 'd'))).rejects.toThrow('ENOENT');
  });
});
