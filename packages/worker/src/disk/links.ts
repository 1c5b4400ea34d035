import { link } from 'node:fs/promises';
import { systemErrorCode } from '../host/errors.ts';

/** Makes a hard link to an immutable file. @throws Error that says what to do where links are not possible */
export async function linkFile(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    throw explainedRefusal(error, from, to);
  }
}

/** Explains why a link to another file system fails; another mount of the same file system counts as one, too. */
export function explainedRefusal(error: unknown, from: string, to: string): unknown {
  if (systemErrorCode(error) !== 'EXDEV') return error;
  return new Error(
    `${from} and ${to} are on different file systems or mounts; OPENCOMPUTER_CACHE_DIR must be on that of OPENCOMPUTER_DATA_DIR`,
    { cause: error },
  );
}
