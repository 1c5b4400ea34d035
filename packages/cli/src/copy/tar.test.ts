import { execFileSync } from 'node:child_process';
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { packFolder } from './pack.ts';
import { Tally } from './tally.ts';
import { blockBytes, encodeHeader, padding } from './tar-header.ts';
import { unpack } from './unpack.ts';
import type { Entry } from './tar-header.ts';

let folder = '';
let from = '';
let to = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oc-tar-'));
  from = join(folder, 'from');
  to = join(folder, 'to');
  await mkdir(from);
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

/** The same bytes in portions of a size. */
async function* portions(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const longName = `${'long-'.repeat(40)}grün`;

async function makeTree(): Promise<void> {
  await mkdir(join(from, 'deep', longName), { recursive: true });
  await writeFile(join(from, 'deep', longName, 'all bytes'), everyByte);
  await writeFile(join(from, 'program'), '#!/bin/sh\n', { mode: 0o755 });
  await chmod(join(from, 'program'), 0o751);
  await writeFile(join(from, 'empty'), '');
  await writeFile(join(from, 'block'), Buffer.alloc(blockBytes, 7));
  await mkdir(join(from, 'closed'));
  await writeFile(join(from, 'closed/inner'), 'x');
  await chmod(join(from, 'closed'), 0o555);
  await symlink(`../${longName}`, join(from, 'deep/link'));
  await link(join(from, 'block'), join(from, 'hard'));
}

async function checkTree(): Promise<void> {
  expect(await readFile(join(to, 'deep', longName, 'all bytes'))).toEqual(everyByte);
  expect((await stat(join(to, 'program'))).mode & 0o777).toBe(0o751);
  expect((await stat(join(to, 'closed'))).mode & 0o777).toBe(0o555);
  expect(await readFile(join(to, 'closed/inner'), 'utf8')).toBe('x');
  expect((await readFile(join(to, 'empty'))).length).toBe(0);
  expect(await readFile(join(to, 'hard'))).toEqual(Buffer.alloc(blockBytes, 7));
  expect(await readlink(join(to, 'deep/link'))).toBe(`../${longName}`);
  await chmod(join(to, 'closed'), 0o755);
  await chmod(join(from, 'closed'), 0o755);
}

describe('a tree comes out as it went in', () => {
  beforeEach(makeTree);

  test.each([1, 100, 512, 100_000])('through our own archive, in portions of %i bytes', async (size) => {
    const archive = await collect(packFolder(from, new Tally()));
    await unpack(portions(archive, size), to, new Tally());
    await checkTree();
  });

  test('packed by us, unpacked by tar', async () => {
    await mkdir(to);
    execFileSync('tar', ['-xpf', '-', '-C', to], { input: await collect(packFolder(from, new Tally())) });
    await checkTree();
  });

  test.each(['gnu', 'pax', 'ustar'])('packed by tar as %s, unpacked by us', async (format) => {
    if (format === 'ustar') await rm(join(from, 'deep'), { recursive: true });
    const archive = execFileSync('tar', [`--format=${format}`, '-cf', '-', '-C', from, '.']);
    await unpack(portions(archive, 1000), to, new Tally());
    if (format !== 'ustar') await checkTree();
    else expect((await stat(join(to, 'program'))).mode & 0o777).toBe(0o751);
  });
});

describe('a hostile archive', () => {
  const usual: Entry = { type: 'file', path: 'x', mode: 0o644, size: 0, modified: 0, target: '' };

  function archive(...entries: (Partial<Entry> & { content?: string })[]): AsyncGenerator<Buffer> {
    const parts = entries.map(({ content = '', ...entry }) => {
      const bytes = Buffer.from(content);
      return Buffer.concat([
        encodeHeader({ ...usual, size: bytes.length, ...entry }),
        bytes,
        padding(bytes.length),
      ]);
    });
    return portions(Buffer.concat([...parts, Buffer.alloc(2 * blockBytes)]), 4096);
  }

  test.each(['../x', 'a/../../x', '/../x', '..'])('cannot leave the folder by %j', async (path) => {
    await expect(unpack(archive({ path, content: 'evil' }), to, new Tally())).rejects.toThrow('leads out');
    await expect(stat(join(folder, 'x'))).rejects.toThrow('ENOENT');
  });

  test('puts absolute paths below the folder', async () => {
    await unpack(archive({ path: '/etc/x', content: 'in' }), to, new Tally());
    expect(await readFile(join(to, 'etc/x'), 'utf8')).toBe('in');
  });

  test('cannot write through a link that it brought', async () => {
    const through = archive(
      { type: 'symlink', path: 'door', target: from },
      { path: 'door/x', content: 'evil' },
    );
    await expect(unpack(through, to, new Tally())).rejects.toThrow('in the way');
    await expect(stat(join(from, 'x'))).rejects.toThrow('ENOENT');
  });

  test('replaces a link instead of writing to where it leads', async () => {
    await writeFile(join(from, 'victim'), 'good');
    const twice = archive(
      { type: 'symlink', path: 'x', target: join(from, 'victim') },
      { path: 'x', content: 'evil' },
    );
    await unpack(twice, to, new Tally());
    expect(await readFile(join(from, 'victim'), 'utf8')).toBe('good');
    expect(await readFile(join(to, 'x'), 'utf8')).toBe('evil');
  });

  test('cannot link to a file outside', async () => {
    const outside = archive({ type: 'link', path: 'x', target: '../from/victim' });
    await expect(unpack(outside, to, new Tally())).rejects.toThrow('leads out');
    const absolute = archive({ type: 'link', path: 'x', target: '/etc/passwd' });
    await expect(unpack(absolute, to, new Tally())).rejects.toThrow('no file');
  });

  test('makes no programs that run as their owner, and no devices', async () => {
    const tally = new Tally();
    await unpack(archive({ path: 'x', mode: 0o4755 }, { type: 'other', path: 'pipe' }), to, tally);
    expect((await stat(join(to, 'x'))).mode & 0o7777).toBe(0o755);
    execFileSync('mkfifo', [join(from, 'fifo')]);
    const fifo = execFileSync('tar', ['-cf', '-', '-C', from, 'fifo']);
    await unpack(portions(fifo, 512), to, tally);
    expect(tally.skipped).toContain(join(to, 'fifo'));
    await expect(stat(join(to, 'fifo'))).rejects.toThrow('ENOENT');
  });

  test('is refused where it is none, or breaks off', async () => {
    const noise = portions(Buffer.alloc(10_000, 'noise'), 1000);
    await expect(unpack(noise, to, new Tally())).rejects.toThrow(RangeError);
    const whole = await collect(archive({ path: 'x', content: 'y'.repeat(5000) }));
    for (const cut of [0, 1, 511, 512, 3000, 5600])
      await expect(unpack(portions(whole.subarray(0, cut), 700), to, new Tally())).rejects.toThrow(
        'breaks off',
      );
  });

  test('cannot fill the memory with a name', async () => {
    const header = encodeHeader({ ...usual, path: 'x', size: 2 ** 30 });
    header.write('x', 156, 'latin1');
    header.write('        ', 148, 'latin1');
    const sum = header.reduce((all, byte) => all + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    await expect(unpack(portions(header, 512), to, new Tally())).rejects.toThrow('too long');
  });
});
