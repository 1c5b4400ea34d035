import { blockBytes, decodeHeader } from './tar-header.ts';
import type { Entry } from './tar-header.ts';

/** A longer extended header cannot come from the names of a file system. */
const longestExtension = 64 * 1024;

/** An entry of an archive and its content, which has to be read, or skipped, before the next entry. */
export interface ArchiveEntry extends Entry {
  content: AsyncIterable<Buffer>;
}

/**
 * Reads an archive (ustar, pax, GNU) as it comes, in constant memory. It may be hostile: paths are returned unchecked.
 *
 * @throws RangeError when it is not an archive, or is cut off
 */
export async function* readArchive(source: AsyncIterable<Uint8Array>): AsyncGenerator<ArchiveEntry> {
  const bytes = new ByteReader(source);
  let next: Partial<Entry> = {};
  for (;;) {
    const raw = decodeHeader(await bytes.exactly(blockBytes));
    if (raw === undefined) return bytes.drain();
    const { flag, entry } = raw;
    if ('xgLK'.includes(flag)) {
      if (entry.size > longestExtension)
        throw new RangeError('an extended header in an archive that is too long');
      const text = (await bytes.exactly(entry.size)).toString('utf8');
      await bytes.exactly(paddingOf(entry.size));
      if (flag === 'x') next = { ...next, ...paxRecords(text) };
      if (flag === 'L') next = { ...next, path: untilZero(text) };
      if (flag === 'K') next = { ...next, target: untilZero(text) };
      continue;
    }
    const full = { ...entry, ...next };
    next = {};
    // Only files have content, whatever size other entries claim.
    const size = full.type === 'file' || full.type === 'other' ? full.size : 0;
    const content = bytes.piecewise(size);
    yield { ...full, size, content };
    for await (const _ of content);
    await bytes.exactly(paddingOf(size));
  }
}

function paddingOf(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes;
}

function untilZero(text: string): string {
  return text.split('\0', 1)[0] ?? '';
}

function paxRecords(text: string): Partial<Entry> {
  const found: Partial<Entry> = {};
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    const length = Number.parseInt(rest.subarray(0, 8).toString('latin1'), 10);
    if (!(length > 4 && length <= rest.length))
      throw new RangeError('a broken extended header in an archive');
    const [, name, value] = /^\d+ ([^=]+)=(.*)\n$/s.exec(rest.subarray(0, length).toString('utf8')) ?? [];
    if (name === 'path') found.path = value ?? '';
    if (name === 'linkpath') found.target = value ?? '';
    if (name === 'size') found.size = sizeOf(value ?? '');
    rest = rest.subarray(length);
  }
  return found;
}

function sizeOf(text: string): number {
  const size = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(size)) return size;
  throw new RangeError('a size in an archive that cannot be');
}

/** Reads a stream in pieces of the sizes that the format needs. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async exactly(size: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of this.piecewise(size)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** When it is iterated again, it goes on where it was left. */
  piecewise(size: number): AsyncIterable<Buffer> {
    let left = size;
    const next = async (): Promise<IteratorResult<Buffer, undefined>> => {
      if (left === 0) return { done: true, value: undefined };
      while (this.#rest.length === 0) await this.#more();
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      return { done: false, value: part };
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  /** Read the rest: the sender still has to send the padding of its last record. */
  async drain(): Promise<void> {
    while ((await this.#source.next()).done !== true);
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#source.next();
    if (done) throw new RangeError('the archive breaks off');
    this.#rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
}
