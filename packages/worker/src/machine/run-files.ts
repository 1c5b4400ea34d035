import { lstat, open } from 'node:fs/promises';
import { NotOurFile, withUntrusted } from '../host/untrusted-file.ts';

/**
 * Makes a file that a machine is to write: its user can make none in the run directory.
 * @param uid the machine's user; undefined where it is ourselves
 * @param bytes its size; all of it is a hole
 */
export async function makeFileFor(uid: number | undefined, path: string, bytes: number): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.truncate(bytes);
    if (uid !== undefined) await file.chown(uid, uid);
  } finally {
    await file.close();
  }
}

/**
 * Gives the writable disk of a machine at rest to the user of its next process.
 * @throws NotOurFile when something else stands in its place, such as another name of a file that machines share
 */
export function handOver(path: string, uid: number): Promise<void> {
  return withUntrusted(path, { links: 1 }, (file) => file.chown(uid, uid));
}

/** @throws NotOurFile when something else stands in place of a socket: a machine of an older worker could put it there */
export async function assertSocket(path: string): Promise<void> {
  if (!(await lstat(path)).isSocket()) throw new NotOurFile(`${path} is no socket`);
}
