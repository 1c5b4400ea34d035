import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readConfigFile, updateConfigFile } from './file.ts';

let folder = '';
let path = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oc-config-'));
  path = join(folder, '.oc/config.json');
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

test('an absent file is empty', async () => {
  expect(await readConfigFile(path)).toEqual({});
});

test('only its owner can read it, whatever the umask is', async () => {
  const before = process.umask(0o777);
  try {
    process.umask(0);
    await updateConfigFile({ api_key: 'osb_secret' }, path);
  } finally {
    process.umask(before);
  }
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(dirname(path))).mode & 0o777).toBe(0o700);
});

test('a change keeps the rest, also what it does not know', async () => {
  await updateConfigFile({ api_key: 'osb_secret' }, path);
  const known = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...known, sessions_api_url: 'http://x' }));
  await updateConfigFile({ api_url: 'http://y' }, path);
  expect(await readConfigFile(path)).toEqual({
    api_key: 'osb_secret',
    api_url: 'http://y',
    sessions_api_url: 'http://x',
  });
});

test('writers at the same time leave a whole file and no drafts', async () => {
  await Promise.all(Array.from({ length: 20 }, (_, n) => updateConfigFile({ api_key: `osb_${n}` }, path)));
  expect((await readConfigFile(path)).api_key).toMatch(/^osb_\d+$/);
  expect(await readdir(dirname(path))).toEqual(['config.json']);
});

test.each(['', '{', '[]', 'null', '"x"', '{"api_key": 5}', `"${'x'.repeat(70_000)}"`])(
  'a broken file is named and left alone: %.20j',
  async (text) => {
    await updateConfigFile({ api_key: 'osb_secret' }, path);
    await writeFile(path, text);
    await expect(readConfigFile(path)).rejects.toThrow(path);
    await expect(updateConfigFile({ api_url: 'http://y' }, path)).rejects.toThrow(path);
    expect(await readFile(path, 'utf8')).toBe(text);
  },
);
