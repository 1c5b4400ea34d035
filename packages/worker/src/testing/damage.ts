import { chmod, open, stat } from 'node:fs/promises';

/** Changes one bit of a file, whoever may write it, as a bad disk does. @param at where, from the end if negative */
export async function flipBit(path: string, at: number): Promise<void> {
  const { mode, size } = await stat(path);
  const position = at < 0 ? size + at : at;
  await chmod(path, 0o600);
  try {
    await using file = await open(path, 'r+');
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position);
    await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, position);
  } finally {
    await chmod(path, mode);
  }
}
