import { randomBytes } from 'node:crypto';

const mebibyte = 1024 * 1024;
const pieceBytes = 256 * 1024;
/** Random, so that nothing on the way can make it shorter. */
const block = randomBytes(16 * mebibyte);

/** The content of a file, piece by piece; the whole is never in memory. */
export async function* content(megabytes: number): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < megabytes * mebibyte; sent += pieceBytes) {
    const start = sent % block.length;
    yield block.subarray(start, start + pieceBytes);
  }
}

/** Reads to the end. @throws Error when it was not this many MB */
export async function drain(stream: AsyncIterable<Uint8Array>, megabytes: number): Promise<void> {
  let bytes = 0;
  for await (const piece of stream) bytes += piece.length;
  if (bytes !== megabytes * mebibyte)
    throw new Error(`${bytes} bytes came back of a file of ${megabytes} MB`);
}
