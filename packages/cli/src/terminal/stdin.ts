import { LocalError } from '../output/errors.ts';

/** Input that is read as a whole and longer than this is certainly a mistake. */
const maxBytes = 1024 * 1024;

/** All of standard input as text. @throws LocalError when it is longer than 1 MiB */
export async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > maxBytes) throw new LocalError('standard input is longer than 1 MiB');
  }
  return Buffer.concat(chunks).toString('utf8');
}
