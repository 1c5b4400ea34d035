import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdir, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { scratchDirectory, until } from '../testing/scratch.ts';
import { keepLogsShort, lastLines, shortenLog } from './log-file.ts';

test('the last lines are quoted in part, of a log of any size; of one that is missing nothing', async () => {
  const path = join(await scratchDirectory(), 'log');
  await writeFile(path, `${'x'.repeat(5000)}\nlast\n\n`);
  expect((await lastLines(path)).length).toBe(600);
  expect(await lastLines(path)).toMatch(/x \| last$/);
  expect(await lastLines(`${path}-missing`)).toBe('');
  // Longer than any string and any buffer may be.
  await truncate(path, 8 * 1024 ** 3);
  await writeFile(path, 'one\ntwo\n', { flag: 'a' });
  expect(await lastLines(path)).toMatch(/two$/);
});

test('one that is too long is cut down to its end, from the beginning of a line on', async () => {
  const path = join(await scratchDirectory(), 'log');
  const lines = Array.from({ length: 100_000 }, (_, index) => `qemu: Guest moved used index ${index}`);
  await writeFile(path, `${lines.slice(0, 100).join('\n')}\n`);
  expect(await shortenLog(path)).toBe(false);
  await writeFile(path, `${lines.join('\n')}\n`);
  expect(await shortenLog(path)).toBe(true);
  const left = (await readFile(path, 'utf8')).trim().split('\n');
  expect(left[0]).toBe('[earlier lines were dropped]');
  expect(left.slice(1)).toEqual(lines.slice(1 - left.length));
  expect((await stat(path)).size).toBeLessThan(70 * 1024);
});

test('a guest that makes QEMU print without end does not fill the disk, and what it prints last is there', async () => {
  const directory = await scratchDirectory();
  const path = join(directory, 'sb-01234567', 'qemu.log');
  await mkdir(join(directory, 'sb-01234567'));
  const descriptor = openSync(path, 'a', 0o600);
  const warnings: string[] = [];
  const log = pino({}, { write: (line) => void warnings.push(line) });
  const keeper = keepLogsShort(directory, log, 20);
  onTestFinished(() => keeper[Symbol.dispose]());
  // As QEMU prints: by a descriptor that appends, and that it had before.
  const print = (line: string) =>
    once(spawn('sh', ['-c', line], { stdio: ['ignore', 'ignore', descriptor] }), 'close');
  await print('yes "Guest moved used index" | head -c 300000000 >&2');
  await until(async () => (await stat(path)).size < 1024 * 1024);
  await print('echo the end >&2');
  expect(await lastLines(path)).toMatch(/Guest.*the end$/);
  expect(warnings.join('')).toContain('sb-01234567');
  // A link, or a machine without a log, does no harm.
  await mkdir(join(directory, 'sb-11111111'));
  await mkdir(join(directory, 'sb-22222222'));
  await symlink('/etc/passwd', join(directory, 'sb-22222222', 'qemu.log'));
  await until(() => warnings.some((line) => line.includes('a symbolic link')));
});
