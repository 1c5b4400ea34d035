import { mkdir, mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { syncDirectory, syncFile, writeFileAtomic } from './atomic-file.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atomic-test-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test('makes the directory, replaces the content and leaves no other file', async () => {
  const path = join(directory, 'deep', 'file.json');
  await writeFileAtomic(path, 'first');
  await writeFileAtomic(path, 'second');
  expect(await readFile(path, 'utf8')).toBe('second');
  expect(await readdir(join(directory, 'deep'))).toEqual(['file.json']);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('writers at once leave the whole content of one of them', async () => {
  const path = join(directory, 'file');
  const contents = Array.from({ length: 10 }, (_, index) => String(index).repeat(100_000));
  await Promise.all(contents.map((content) => writeFileAtomic(path, content)));
  expect(contents).toContain(await readFile(path, 'utf8'));
  expect(await readdir(directory)).toEqual(['file']);
});

test('a failure leaves no temporary file', async () => {
  const path = join(directory, 'occupied');
  await mkdir(join(path, 'child'), { recursive: true });
  await expect(writeFileAtomic(path, 'content')).rejects.toThrow('EISDIR');
  expect(await readdir(directory)).toEqual(['occupied']);
});

test('a file that is not there cannot be made durable', async () => {
  await expect(syncFile(join(directory, 'missing'))).rejects.toThrow('ENOENT');
  await expect(syncDirectory(join(directory, 'missing'))).rejects.toThrow('ENOENT');
  await expect(syncDirectory(directory)).resolves.toBeUndefined();
});
