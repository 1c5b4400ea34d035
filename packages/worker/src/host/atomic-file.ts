import { randomBytes } from 'node:crypto';
import { constants, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { withUntrusted } from './untrusted-file.ts';

/**
 * Replaces a file so that readers, and a crash at any moment, see the old content or the new, never a part. The parent
 * directory is made if it is missing.
 * @throws the system's error; the old content is unchanged then
 */
export async function writeFileAtomic(path: string, content: string, mode = 0o600): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true });
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(directory);
}

/** Makes renames and new files in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Makes the content of a file survive a power cut. @throws NotOurFile when it is no regular file */
export function syncFile(path: string): Promise<void> {
  return withUntrusted(path, { flags: constants.O_RDWR }, (file) => file.sync());
}
