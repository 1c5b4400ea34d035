import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../host/errors.ts';
import { explainedRefusal } from './links.ts';

/** Deletes a directory. It is moved to the trash first, so that a crash never leaves half of it under its name. */
export async function discardDirectory(directory: string, trash: string): Promise<void> {
  await mkdir(trash, { recursive: true });
  const grave = join(trash, `${Date.now()}-${process.pid}-${Math.random().toString(36).slice(2)}`);
  try {
    await rename(directory, grave);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    throw explainedRefusal(error, directory, grave);
  }
  await rm(grave, { recursive: true, force: true });
}
