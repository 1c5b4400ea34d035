import { link } from 'node:fs/promises';

/** Puts an immutable file under a second name; nothing is copied. @throws Error with the file systems' limits named */
export async function linkFile(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    throw new Error(
      `${from} and ${to} are on different file systems; OPENCOMPUTER_CACHE_DIR must be on that of OPENCOMPUTER_DATA_DIR`,
      { cause: error },
    );
  }
}
