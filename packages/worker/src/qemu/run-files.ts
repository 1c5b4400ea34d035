import { lstat, open } from 'node:fs/promises';
import { isMachineUser } from '../host/uids.ts';
import { NotOurFile, withUntrusted } from '../host/untrusted-file.ts';

/**
 * Makes a file for a machine to write: its user cannot create files in the run directory.
 * @param uid the machine's user; undefined where it is our own
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
 * Gives the writable disk of a machine that does not run to the user of its next process.
 * @throws NotOurFile when something else is in its place, such as a link to a file that machines share
 */
export function handOver(path: string, uid: number): Promise<void> {
  return withUntrusted(path, { links: 1 }, (file) => file.chown(uid, uid));
}

/** Makes a file of ours read-only and durable. */
export function sealFile(path: string, mode: number): Promise<void> {
  return withUntrusted(path, { owner: (uid) => uid === process.getuid?.(), links: 1 }, async (file) => {
    await file.chmod(mode);
    await file.sync();
  });
}

/**
 * Takes a file that a machine has written away from its user: it is ours then, read-only and durable. A file that was
 * taken before is only made durable.
 * @param links how many names (hard links) it may have; undefined for a layer, which snapshots link to
 * @throws NotOurFile when it is not a file of a machine
 */
export function takeFile(path: string, mode: number, links?: number): Promise<void> {
  return withUntrusted(path, links === undefined ? {} : { links }, async (file) => {
    const { uid, mode: present } = await file.stat();
    if (isMachineUser(uid)) {
      // In this order, after a crash in between, the file is taken again.
      await file.chmod(mode);
      if (process.getuid?.() === 0) await file.chown(0, 0);
    } else if ((present & 0o777) !== mode)
      // Such as a memory image, to which a machine of an older worker could make a link.
      throw new NotOurFile(`${path} belongs to user ${uid}, and no machine has written it`);
    await file.sync();
  });
}

/**
 * @throws NotOurFile when something else is in place of a socket: a machine of an older worker could have put it there
 */
export async function assertSocket(path: string): Promise<void> {
  if (!(await lstat(path)).isSocket()) throw new NotOurFile(`${path} is no socket`);
}
