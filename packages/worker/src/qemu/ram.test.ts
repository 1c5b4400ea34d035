import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rename, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { failureOf, scratchDirectory } from '../testing/scratch.ts';
import { copyRamImage, dirtyRuns, findMapping, saveDirtyPages } from './ram.ts';

async function saveRam(pid: number, image: string, target: string): Promise<number> {
  await copyRamImage(image, target);
  const changed = await saveDirtyPages(pid, image, target);
  return changed.reduce((sum, [start, end]) => sum + end - start, 0);
}

const page = 4096;

const present = 1n << 63n;
const swapped = 1n << 62n;
const fileOrShared = 1n << 61n;

function pagemap(entries: readonly bigint[]): Buffer {
  const buffer = Buffer.alloc(entries.length * 8);
  entries.forEach((entry, index) => buffer.writeBigUInt64LE(entry, index * 8));
  return buffer;
}

describe('findMapping', () => {
  const maps = [
    '00400000-00452000 r-xp 00000000 fd:01 173521                             /usr/bin/qemu-system-x86_64',
    '7f0000000000-7f0008000000 rw-p 00000000 fd:01 4242                       /work/run/ram',
    '7f0010000000-7f0010021000 rw-p 00000000 00:00 0 ',
    '7ffc9a5d6000-7ffc9a5f7000 rw-p 00000000 00:00 0                          [stack]',
    '',
  ].join('\n');
  const size = 0x8000000;

  test('finds the whole file by its inode', () => {
    expect(findMapping(maps, { inode: 4242, size })).toEqual({
      start: 0x7f0000000000,
      end: 0x7f0008000000,
    });
  });

  test('finds nothing where there is no such inode, or no map at all', () => {
    expect(findMapping(maps, { inode: 424, size })).toBeUndefined();
    expect(findMapping('', { inode: 4242, size })).toBeUndefined();
  });

  test('another file with the same number on another file system is not taken for it', () => {
    const library =
      '7e0000000000-7e0000002000 r--p 00000000 fd:02 4242                       /usr/lib/libc.so.6\n' +
      '7e0000002000-7e0000003000 r-xp 00002000 fd:02 4242                       /usr/lib/libc.so.6\n';
    expect(findMapping(library + maps, { inode: 4242, size })?.start).toBe(0x7f0000000000);
    expect(findMapping(library, { inode: 4242, size })).toBeUndefined();
  });

  test('a mapping that the kernel keeps in pieces is one', () => {
    const pieces =
      '7f0000000000-7f0000001000 rw-p 00000000 fd:01 4242                       /work/run/ram\n' +
      '7f0000001000-7f0000002000 r--p 00001000 fd:01 4242                       /work/run/ram\n' +
      '7f0000002000-7f0008000000 rw-p 00002000 fd:01 4242                       /work/run/ram\n';
    expect(findMapping(pieces, { inode: 4242, size })).toEqual({
      start: 0x7f0000000000,
      end: 0x7f0008000000,
    });
  });

  test('a part of the file, or pieces with a hole between them, are not the machine’s memory', () => {
    const part = '7f0000000000-7f0000001000 rw-p 00000000 fd:01 4242                       /work/run/ram\n';
    const far = '7f0000003000-7f0000004000 rw-p 00001000 fd:01 4242                       /work/run/ram\n';
    expect(findMapping(part, { inode: 4242, size })).toBeUndefined();
    expect(findMapping(part + far, { inode: 4242, size: 2 * page })).toBeUndefined();
  });
});

describe('dirtyRuns', () => {
  test('a page counts when it is there, or swapped, and no longer the file’s', () => {
    expect(dirtyRuns(pagemap([0n, present, swapped, present | fileOrShared, present]))).toEqual([
      [1, 2],
      [4, 1],
    ]);
    // The page's number, and the soft-dirty and exclusive bits, must not matter.
    expect(dirtyRuns(pagemap([(1n << 55n) | 0xfffn, present | (1n << 56n) | 0x123n]))).toEqual([[1, 1]]);
    expect(dirtyRuns(pagemap([swapped | fileOrShared]))).toEqual([]);
  });

  test('nothing gives nothing, everything gives runs of a mebibyte', () => {
    expect(dirtyRuns(Buffer.alloc(0))).toEqual([]);
    expect(dirtyRuns(pagemap(Array.from({ length: 600 }, () => present)))).toEqual([
      [0, 256],
      [256, 256],
      [512, 88],
    ]);
    expect(dirtyRuns(pagemap(Array.from({ length: 256 }, () => present)))).toEqual([[0, 256]]);
  });

  test('names exactly the changed pages, in order, in runs of a mebibyte at most', () => {
    const entry = fc
      .tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.bigInt({ min: 0n, max: (1n << 61n) - 1n }))
      .map(
        ([there, swap, file, rest]) =>
          rest | (there ? present : 0n) | (swap ? swapped : 0n) | (file ? fileOrShared : 0n),
      );
    // Long ranges, so that runs reach their limit.
    const stretch = fc
      .tuple(entry, fc.integer({ min: 1, max: 400 }))
      .map(([value, count]) => Array.from({ length: count }, () => value));
    fc.assert(
      fc.property(fc.array(stretch, { maxLength: 12 }), (stretches) => {
        const entries = stretches.flat();
        const expected = entries.flatMap((value, index) =>
          (value & (present | swapped)) !== 0n && (value & fileOrShared) === 0n ? [index] : [],
        );
        const runs = dirtyRuns(pagemap(entries));
        const named = runs.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i));
        expect(named).toEqual(expected);
        expect(runs.every(([, count]) => count >= 1 && count <= 256)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

/** A process that maps a file privately, runs `code` on the mapping `m`, says so, and waits. */
async function startMapper(image: string, code: string): Promise<number> {
  const script = [
    'import ctypes, mmap, os, sys',
    'PAGE = 4096',
    `f = os.open(${JSON.stringify(image)}, os.O_RDONLY)`,
    'size = os.fstat(f).st_size',
    'm = mmap.mmap(f, size, access=mmap.ACCESS_COPY)',
    'address = ctypes.addressof(ctypes.c_char.from_buffer(m))',
    'libc = ctypes.CDLL(None, use_errno=True)',
    code,
    "print('ready', flush=True)",
    'sys.stdin.read()',
  ].join('\n');
  const child = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: child.stdout }), 'line', {
    signal: AbortSignal.timeout(20_000),
  });
  expect(line).toBe('ready');
  if (child.pid === undefined) throw new Error('python3 did not start');
  return child.pid;
}

/** An image of `pages` pages, each full of its own number; pages that `holes` names are holes. */
async function makeImage(
  pages: number,
  holes: readonly number[] = [],
): Promise<{ image: string; bytes: Buffer }> {
  const image = join(await scratchDirectory(), 'ram');
  const bytes = Buffer.alloc(pages * page);
  for (let index = 0; index < pages; index++)
    if (!holes.includes(index)) bytes.fill((index % 255) + 1, index * page, (index + 1) * page);
  await writeFile(image, bytes);
  return { image, bytes };
}

const digest = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

describe('saveRam', () => {
  test('writes the memory of the process, counts what it changed, and leaves the image alone', async () => {
    const { image, bytes } = await makeImage(1024, [10, 11, 12]);
    const before = await digest(image);
    const pid = await startMapper(
      image,
      [
        'for i in (0, 10, 500, 501, 1023): m[i * PAGE:i * PAGE + 5] = b"wrote"',
        'm[700 * PAGE + 4090:700 * PAGE + 4100] = b"0123456789"',
        'sum(m[i * PAGE] for i in range(size // PAGE))',
      ].join('\n'),
    );
    for (const index of [0, 10, 500, 501, 1023]) bytes.write('wrote', index * page);
    bytes.write('0123456789', 700 * page + 4090);
    const target = `${image}.saved`;
    expect(await saveRam(pid, image, target)).toBe(7 * page);
    expect((await readFile(target)).equals(bytes)).toBe(true);
    expect(await digest(image)).toBe(before);
  });

  test('a process that wrote nothing gives a copy', async () => {
    const { image, bytes } = await makeImage(64);
    const pid = await startMapper(image, 'sum(m[i * PAGE] for i in range(size // PAGE))');
    expect(await saveRam(pid, image, `${image}.saved`)).toBe(0);
    expect((await readFile(`${image}.saved`)).equals(bytes)).toBe(true);
  });

  test('a page that was written and given back is the file’s again', async () => {
    const { image, bytes } = await makeImage(64);
    const pid = await startMapper(image, 'm[5 * PAGE] = 0\nm.madvise(mmap.MADV_DONTNEED, 5 * PAGE, PAGE)');
    expect(await saveRam(pid, image, `${image}.saved`)).toBe(0);
    expect((await readFile(`${image}.saved`)).equals(bytes)).toBe(true);
  });

  test('everything written, more than one run', async () => {
    const { image } = await makeImage(700);
    const pid = await startMapper(image, 'm[:] = bytes(b"\\xa5" * size)');
    expect(await saveRam(pid, image, `${image}.saved`)).toBe(700 * page);
    expect((await readFile(`${image}.saved`)).equals(Buffer.alloc(700 * page, 0xa5))).toBe(true);
  });

  test('memory whose mapping the kernel has split is saved whole', async () => {
    const { image, bytes } = await makeImage(256);
    const pid = await startMapper(
      image,
      [
        'for i in (3, 100, 250): m[i * PAGE] = 0xee',
        // PROT_READ for one page in the middle.
        'assert libc.mprotect(ctypes.c_void_p(address + 50 * PAGE), PAGE, 1) == 0',
      ].join('\n'),
    );
    for (const index of [3, 100, 250]) bytes[index * page] = 0xee;
    expect(await saveRam(pid, image, `${image}.saved`)).toBe(3 * page);
    expect((await readFile(`${image}.saved`)).equals(bytes)).toBe(true);
  });

  test('finds the file by what it is, not by the name it was opened by', async () => {
    const { image, bytes } = await makeImage(16);
    const pid = await startMapper(image, 'm[0] = 7');
    await rename(image, `${image}.renamed`);
    bytes[0] = 7;
    expect(await saveRam(pid, `${image}.renamed`, `${image}.saved`)).toBe(page);
    expect((await readFile(`${image}.saved`)).equals(bytes)).toBe(true);
  });

  test('holes stay holes', async () => {
    const { image } = await makeImage(16);
    await truncate(image, 64 * 1024 * 1024);
    const pid = await startMapper(image, 'm[8000 * PAGE] = 1');
    expect(await saveRam(pid, image, `${image}.saved`)).toBe(page);
    const saved = await stat(`${image}.saved`);
    expect(saved.size).toBe(64 * 1024 * 1024);
    expect(saved.blocks * 512).toBeLessThan(1024 * 1024);
  });

  test('a process that does not map the image, maps only a part of it, or is gone: an error', async () => {
    const { image } = await makeImage(16);
    const other = await makeImage(16);
    const pid = await startMapper(other.image, '');
    expect((await failureOf(saveRam(pid, image, `${image}.saved`))).message).toContain(
      'does not map the whole',
    );
    await truncate(other.image, 32 * page);
    expect((await failureOf(saveRam(pid, other.image, `${image}.saved`))).message).toContain(
      'does not map the whole',
    );
    process.kill(pid, 'SIGKILL');
    await expect(saveDirtyPages(2 ** 22 + 1, image, `${image}.saved`)).rejects.toThrow('ENOENT');
    await expect(saveDirtyPages(pid, `${image}.missing`, `${image}.saved`)).rejects.toThrow('ENOENT');
    await expect(copyRamImage(`${image}.missing`, `${image}.saved`)).rejects.toThrow('ENOENT');
  });
});
