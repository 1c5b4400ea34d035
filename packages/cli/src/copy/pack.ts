import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalError } from '../output/errors.ts';
import { blockBytes, encodeHeader, padding } from './tar-header.ts';
import type { BigIntStats, Stats } from 'node:fs';
import type { EntryType } from './tar-header.ts';
import type { Tally } from './tally.ts';

/** Small pieces are joined up to this size. */
const batchBytes = 64 * 1024;

/** A folder as an archive, packed while it is read, in constant memory. Links stay links. */
export async function* packFolder(folder: string, tally: Tally): AsyncGenerator<Buffer> {
  let batch: Buffer[] = [];
  let size = 0;
  for await (const piece of pieces(folder, '.', tally)) {
    batch.push(piece);
    size += piece.length;
    if (size < batchBytes) continue;
    yield Buffer.concat(batch);
    batch = [];
    size = 0;
  }
  yield Buffer.concat([...batch, Buffer.alloc(2 * blockBytes)]);
}

async function* pieces(folder: string, path: string, tally: Tally): AsyncGenerator<Buffer> {
  const full = join(folder, path);
  const stats = await lstat(full);
  const type = typeOf(stats);
  if (type === 'other') return tally.skip(full);
  const target = type === 'symlink' ? await readlink(full) : '';
  const size = type === 'file' ? stats.size : 0;
  const modified = stats.mtimeMs / 1000;
  const name = type === 'directory' ? `${path}/` : path;
  yield encodeHeader({ type, path: name, mode: stats.mode, size, modified, target });
  tally.file();
  if (type === 'file' && size > 0) yield* content(full, size, tally);
  if (type === 'directory')
    for (const child of (await readdir(full)).toSorted()) yield* pieces(folder, `${path}/${child}`, tally);
}

async function* content(path: string, size: number, tally: Tally): AsyncGenerator<Buffer> {
  let left = size;
  // Bytes that are appended meanwhile are left out.
  for await (const chunk of createReadStream(path, { end: size - 1 }) as AsyncIterable<Buffer>) {
    left -= chunk.length;
    tally.bytes(chunk.length);
    yield chunk;
  }
  if (left > 0)
    throw new LocalError(`${path} became shorter while it was copied`, { hint: 'Copy it again.' });
  yield padding(size);
}

/** The kind of a file, where it can be copied. */
export function typeOf(stats: Stats | BigIntStats): EntryType {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}
