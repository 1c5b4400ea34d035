import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readWorkerId } from './worker-id.ts';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'worker-id-'));
  path = join(directory, 'id');
});

afterEach(() => rm(directory, { recursive: true, force: true }));

test('is made once for each data directory, and kept', async () => {
  const id = await readWorkerId(path, false);
  expect(id).toMatch(/^wk-[0-9a-f]{8}$/);
  expect(await readWorkerId(path, true)).toBe(id);
  expect(await readdir(directory)).toEqual(['id']);
  expect(await readWorkerId(join(directory, 'other'), false)).not.toBe(id);
});

test('is the name of the host where an older release has been, and stays that when the host is renamed', async () => {
  expect(await readWorkerId(path, true)).toBe(hostname());
  await writeFile(path, 'name-before\n');
  expect(await readWorkerId(path, true)).toBe('name-before');
});

test('is refused where the file holds something else, and left as it is', async () => {
  for (const content of ['', '\n', 'two words', '../x', 'x'.repeat(300)]) {
    await writeFile(path, content);
    await expect(readWorkerId(path, false)).rejects.toThrow(`${path} does not hold the id of a worker`);
    expect(await readFile(path, 'utf8')).toBe(content);
  }
});
