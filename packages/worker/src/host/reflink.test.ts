import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fileSystemType, probeFileSystem } from './reflink.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'reflink-test-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

function coreutilsCanReflink(): boolean {
  try {
    execFileSync('cp', ['--reflink=always', join(directory, 'sample'), join(directory, 'copy')], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}

test('says of this file system what cp finds, and leaves nothing behind', async () => {
  const [data, cache] = [join(directory, 'data'), join(directory, 'cache')];
  await mkdir(data);
  await mkdir(cache);
  await writeFile(join(directory, 'sample'), Buffer.alloc(65_536, 1));
  const facts = await probeFileSystem(data, cache);
  expect(facts).toMatchObject({ hardLink: true, sparse: true, sameFileSystem: true });
  expect(facts.reflink).toBe(coreutilsCanReflink());
  expect([...(await readdir(data)), ...(await readdir(cache))]).toEqual([]);
});

const elsewhere = '/dev/shm';
const secondFileSystem =
  existsSync(elsewhere) && (await statfs(elsewhere)).type !== (await statfs(tmpdir())).type;

test.skipIf(!secondFileSystem)('sees that the cache is on another file system', async () => {
  const cache = await mkdtemp(join(elsewhere, 'reflink-test-'));
  try {
    const facts = await probeFileSystem(directory, cache);
    expect(facts).toMatchObject({ hardLink: false, reflink: false, sameFileSystem: false });
    expect(await fileSystemType(cache)).toBe('tmpfs');
    expect([...(await readdir(directory)), ...(await readdir(cache))]).toEqual([]);
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
});

test('an unknown file system is named by its number', async () => {
  expect(await fileSystemType('/proc')).toBe('0x9fa0');
});

test('a directory that is not there is an error, not a missing feature', async () => {
  await expect(probeFileSystem(join(directory, 'missing'), directory)).rejects.toThrow('ENOENT');
  await expect(probeFileSystem(directory, join(directory, 'missing'))).rejects.toThrow('ENOENT');
  expect(await readdir(directory)).toEqual([]);
});
