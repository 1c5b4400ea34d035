import { link } from 'node:fs/promises';
import { systemErrorCode } from '../host/errors.ts';

/** Puts an immutable file under a second name; nothing is copied. @throws Error with the file systems' limits named */
export async function linkFile(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    throw explainedRefusal(error, from, to);
  }
}

/** Says what to do about a name on another file system, which another mount of the same one counts as, too. */
export function explainedRefusal(error: unknown, from: string, to: string): unknown {
  if (systemErrorCode(error) !== 'EXDEV') return error;
  return new Error(
    `${from} and ${to} are on different file systems or mounts; OPENCOMPUTER_CACHE_DIR must be on that of OPENCOMPUTER_DATA_DIR`,
    { cause: error },
  );
}
