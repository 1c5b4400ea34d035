import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { endianness } from 'node:os';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { programPath } from './programs.ts';
import { pathOfHandle, withUntrusted } from './untrusted-file.ts';

const execute = promisify(execFile);

/** Bytes that one checksum stands for: small, so that a few changed pages cost little. */
export const checkedBytes = 16 * 1024;
/** Bytes that are read, and summed, in one go: about a millisecond of work. */
const slabBytes = 1024 * 1024;
/** A file of this size is not worth asking where its holes are. */
const smallBytes = 1024 * 1024;
const listBytes = 256 * 1024 * 1024;
const zeroSum = crc32(Buffer.alloc(checkedBytes));

/** CRC-32 of each block of a file. Holes count as zeros, and so does what is missing of the last block. */
export type BlockSums = Uint32Array<ArrayBuffer>;

/** Bytes of a file: the first, and the one after the last. */
export type ByteRange = readonly [start: number, end: number];

/** Sums a whole file; its holes are not read. @throws NotOurFile when it is no regular file */
export function sumFile(path: string, qemuImg: string): Promise<BlockSums> {
  return withUntrusted(path, {}, (file) => sumOpenFile(file, qemuImg));
}

/** Sums a whole file that is open for reading; its holes are not read. */
export async function sumOpenFile(file: FileHandle, qemuImg: string): Promise<BlockSums> {
  const { size } = await file.stat();
  const sums: BlockSums = new Uint32Array(Math.ceil(size / checkedBytes)).fill(zeroSum);
  await sumRanges(file, sums, size <= smallBytes ? [[0, size]] : await dataOf(pathOfHandle(file), qemuImg));
  return sums;
}

/** Sums those blocks of a file again that hold any byte of the ranges, which are in order. */
export function sumAgain(path: string, sums: BlockSums, ranges: readonly ByteRange[]): Promise<void> {
  return withUntrusted(path, {}, (file) => sumRanges(file, sums, ranges));
}

/** One short text that stands for the sums of a file of this size. */
export function digestOf(sums: BlockSums, size: number): string {
  const hash = createHash('sha256').update(new Uint8Array(sums.buffer, sums.byteOffset, sums.byteLength));
  return `${size}-${hash.digest('hex').slice(0, 32)}`;
}

async function sumRanges(file: FileHandle, sums: BlockSums, ranges: readonly ByteRange[]): Promise<void> {
  const buffer = Buffer.alloc(slabBytes);
  for (const [first, end] of blocksOf(ranges, sums.length))
    for (let block = first; block < end; block += slabBytes / checkedBytes) {
      const count = Math.min(end - block, slabBytes / checkedBytes);
      const slab = buffer.subarray(0, count * checkedBytes);
      await readSlab(file, slab, block * checkedBytes);
      for (let index = 0; index < count; index++)
        sums[block + index] = crc32(slab.subarray(index * checkedBytes, (index + 1) * checkedBytes));
    }
}

/** Fills a buffer from a file, and with zeros from where it ends. */
async function readSlab(file: FileHandle, slab: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < slab.length) {
    const { bytesRead } = await file.read(slab, done, slab.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  slab.fill(0, done);
}

/** The blocks that ranges of bytes touch, each once. */
function blocksOf(ranges: readonly ByteRange[], count: number): [first: number, end: number][] {
  const blocks: [number, number][] = [];
  for (const [start, end] of ranges) {
    const first = Math.floor(start / checkedBytes);
    const after = Math.min(Math.ceil(end / checkedBytes), count);
    const last = blocks.at(-1);
    if (last !== undefined && first <= last[1]) last[1] = Math.max(last[1], after);
    else if (first < after) blocks.push([first, after]);
  }
  return blocks;
}

/** Where a file has data. Node cannot ask for the holes of a file; QEMU's tool can. */
async function dataOf(path: string, qemuImg: string): Promise<ByteRange[]> {
  // -U: the file may be a layer that a machine reads.
  const { stdout } = await execute(qemuImg, ['map', '-U', '--output=json', '-f', 'raw', path], {
    timeout: 60_000,
    maxBuffer: listBytes,
    env: { PATH: programPath, LC_ALL: 'C' },
  });
  const extents = JSON.parse(stdout) as { start: number; length: number; data: boolean }[];
  return extents.filter(({ data }) => data).map(({ start, length }) => [start, start + length]);
}

/** Sums as they are kept in a file, with their digest at the end. */
export function encodeSums(sums: BlockSums): Buffer {
  const bytes = Buffer.from(sums.buffer, sums.byteOffset, sums.byteLength);
  return Buffer.concat([bytes, createHash('sha256').update(bytes).digest()]);
}

/** @returns undefined when these are not the sums of a file of this size, or they are damaged */
export function decodeSums(content: Buffer, size: number): BlockSums | undefined {
  const length = Math.ceil(size / checkedBytes) * Uint32Array.BYTES_PER_ELEMENT;
  const bytes = content.subarray(0, length);
  const whole = createHash('sha256').update(bytes).digest().equals(content.subarray(length));
  if (bytes.length !== length || !whole || endianness() !== 'LE') return undefined;
  // A copy: a buffer of Node's pool may begin at any byte.
  return new Uint32Array(Uint8Array.from(bytes).buffer);
}
