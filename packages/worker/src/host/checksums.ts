import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { endianness } from 'node:os';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { programPath } from './programs.ts';
import { pathOfHandle, withUntrusted } from './untrusted-file.ts';

const execute = promisify(execFile);

/** Bytes per checksum: few, so that a few changed pages cost little. */
export const checkedBytes = 16 * 1024;
/** Bytes that are read and checked in one go: about a millisecond of work. */
const slabBytes = 1024 * 1024;
/** Up to this size, finding the holes of a file costs more than reading it. */
const smallBytes = 1024 * 1024;
const listBytes = 256 * 1024 * 1024;
const zeroChecksum = crc32(Buffer.alloc(checkedBytes));

/** CRC-32 of each block of a file. Holes count as zeros, and the last block is filled up with zeros. */
export type BlockChecksums = Uint32Array<ArrayBuffer>;

/** A range of bytes: the first, and the one after the last. */
export type ByteRange = readonly [start: number, end: number];

/** Computes the checksums of a file; its holes are not read. @throws NotOurFile when it is not a regular file */
export function computeChecksums(path: string, qemuImg: string): Promise<BlockChecksums> {
  return withUntrusted(path, {}, (file) => computeChecksumsOf(file, qemuImg));
}

/** Computes the checksums of a file that is open for reading; its holes are not read. */
export async function computeChecksumsOf(file: FileHandle, qemuImg: string): Promise<BlockChecksums> {
  const { size } = await file.stat();
  const checksums: BlockChecksums = new Uint32Array(Math.ceil(size / checkedBytes)).fill(zeroChecksum);
  await computeRanges(
    file,
    checksums,
    size <= smallBytes ? [[0, size]] : await dataOf(pathOfHandle(file), qemuImg),
  );
  return checksums;
}

/** Computes again the checksums of all blocks with bytes in the ranges, which are in order. */
export function updateChecksums(
  path: string,
  checksums: BlockChecksums,
  ranges: readonly ByteRange[],
): Promise<void> {
  return withUntrusted(path, {}, (file) => computeRanges(file, checksums, ranges));
}

/** A short text that identifies the checksums of a file of this size. */
export function digestOf(checksums: BlockChecksums, size: number): string {
  const hash = createHash('sha256').update(
    new Uint8Array(checksums.buffer, checksums.byteOffset, checksums.byteLength),
  );
  return `${size}-${hash.digest('hex').slice(0, 32)}`;
}

async function computeRanges(
  file: FileHandle,
  checksums: BlockChecksums,
  ranges: readonly ByteRange[],
): Promise<void> {
  const buffer = Buffer.alloc(slabBytes);
  for (const [first, end] of blocksOf(ranges, checksums.length))
    for (let block = first; block < end; block += slabBytes / checkedBytes) {
      const count = Math.min(end - block, slabBytes / checkedBytes);
      const slab = buffer.subarray(0, count * checkedBytes);
      await readSlab(file, slab, block * checkedBytes);
      for (let index = 0; index < count; index++)
        checksums[block + index] = crc32(slab.subarray(index * checkedBytes, (index + 1) * checkedBytes));
    }
}

/** Fills a buffer from a file, and with zeros beyond its end. */
async function readSlab(file: FileHandle, slab: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < slab.length) {
    const { bytesRead } = await file.read(slab, done, slab.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  slab.fill(0, done);
}

/** The blocks with bytes in the ranges, each once. */
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

/** The ranges of a file that are not holes. Node cannot find them; QEMU's tool can. */
async function dataOf(path: string, qemuImg: string): Promise<ByteRange[]> {
  // -U: the file may be a layer that a running machine reads.
  const { stdout } = await execute(qemuImg, ['map', '-U', '--output=json', '-f', 'raw', path], {
    timeout: 60_000,
    maxBuffer: listBytes,
    env: { PATH: programPath, LC_ALL: 'C' },
  });
  const extents = JSON.parse(stdout) as { start: number; length: number; data: boolean }[];
  return extents.filter(({ data }) => data).map(({ start, length }) => [start, start + length]);
}

/** Checksums as they are stored in a file, with their digest at the end. */
export function encodeChecksums(checksums: BlockChecksums): Buffer {
  const bytes = Buffer.from(checksums.buffer, checksums.byteOffset, checksums.byteLength);
  return Buffer.concat([bytes, createHash('sha256').update(bytes).digest()]);
}

/** @returns undefined when these are not the checksums of a file of this size, or they are damaged */
export function decodeChecksums(content: Buffer, size: number): BlockChecksums | undefined {
  const length = Math.ceil(size / checkedBytes) * Uint32Array.BYTES_PER_ELEMENT;
  const bytes = content.subarray(0, length);
  const whole = createHash('sha256').update(bytes).digest().equals(content.subarray(length));
  if (bytes.length !== length || !whole || endianness() !== 'LE') return undefined;
  // A copy, for alignment: a buffer of Node's pool may begin at any byte.
  return new Uint32Array(Uint8Array.from(bytes).buffer);
}
