import { randomBytes } from 'node:crypto';
import { open, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { scratchDirectory } from '../testing/scratch.ts';
import {
  checkedBytes,
  computeChecksums,
  decodeChecksums,
  digestOf,
  encodeChecksums,
  updateChecksums,
} from './checksums.ts';

const mebibyte = 1024 * 1024;
const qemuImg = 'qemu-img';

async function fileOf(content: Buffer): Promise<string> {
  const path = join(await scratchDirectory(), 'file');
  await writeFile(path, content);
  return path;
}

async function writeAt(path: string, content: Buffer, position: number): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(content, 0, content.length, position);
  await file.close();
}

/** What the checksums of a content are by definition. */
function expected(content: Buffer): number[] {
  return Array.from({ length: Math.ceil(content.length / checkedBytes) }, (_, index) => {
    const block = Buffer.alloc(checkedBytes);
    content.copy(block, 0, index * checkedBytes, (index + 1) * checkedBytes);
    return crc32(block);
  });
}

describe('the checksums of a file', () => {
  test.each([0, 1, checkedBytes - 1, checkedBytes, checkedBytes + 1, 3 * mebibyte + 5])(
    'of %i bytes are those of its blocks',
    async (size) => {
      const content = randomBytes(size);
      expect([...(await computeChecksums(await fileOf(content), qemuImg))]).toEqual(expected(content));
    },
  );

  test('count holes as zeros, wherever they are', async () => {
    const path = await fileOf(Buffer.alloc(0));
    await truncate(path, 40 * mebibyte + 123);
    const content = Buffer.alloc(40 * mebibyte + 123);
    for (const position of [0, 5 * mebibyte + 4096, 20 * mebibyte - 100, content.length - 10]) {
      const part = randomBytes(Math.min(5000, content.length - position));
      part.copy(content, position);
      await writeAt(path, part, position);
    }
    expect((await stat(path)).blocks * 512, 'it is sparse').toBeLessThan(mebibyte);
    expect([...(await computeChecksums(path, qemuImg))]).toEqual(expected(content));
  });

  test('are brought up to date where ranges were written, and there only', async () => {
    const content = randomBytes(4 * mebibyte);
    const path = await fileOf(content);
    const checksums = await computeChecksums(path, qemuImg);
    const ranges: [number, number][] = [
      [100, 200],
      [checkedBytes - 1, checkedBytes + 1],
      [2 * mebibyte, 3 * mebibyte],
      [4 * mebibyte - 1, 4 * mebibyte],
    ];
    for (const [start, end] of ranges) await writeAt(path, Buffer.alloc(end - start), start);
    // This change is not reported: its checksum stays the old one.
    await writeAt(path, Buffer.alloc(10), mebibyte);
    await updateChecksums(path, checksums, ranges);
    for (const [start, end] of ranges) content.fill(0, start, end);
    expect([...checksums]).toEqual(expected(content));
    expect([...(await computeChecksums(path, qemuImg))]).not.toEqual(expected(content));
  });

  test('are kept in a file, and known again', async () => {
    const size = 3 * mebibyte + 1;
    const checksums = await computeChecksums(await fileOf(randomBytes(size)), qemuImg);
    const encoded = encodeChecksums(checksums);
    expect(decodeChecksums(encoded, size)).toEqual(checksums);
    expect(decodeChecksums(encoded, size + checkedBytes)).toBeUndefined();
    expect(decodeChecksums(encoded, 1)).toBeUndefined();
    expect(decodeChecksums(encoded.subarray(1), size)).toBeUndefined();
    expect(decodeChecksums(Buffer.alloc(0), size)).toBeUndefined();
    for (const at of [0, 100, encoded.length - 1]) {
      const flipped = Buffer.from(encoded);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      expect(decodeChecksums(flipped, size)).toBeUndefined();
    }
  });

  test('have a digest that changes with any of them, and with the size', () => {
    const checksums = new Uint32Array([1, 2, 3]);
    const digest = digestOf(checksums, 40_000);
    expect(digest).toMatch(/^40000-[0-9a-f]{32}$/);
    expect(digestOf(new Uint32Array([1, 2, 4]), 40_000)).not.toBe(digest);
    expect(digestOf(new Uint32Array([2, 1, 3]), 40_000)).not.toBe(digest);
    expect(digestOf(checksums, 40_001)).not.toBe(digest);
  });
});
