import { lstat, open } from 'node:fs/promises';
import { isMachineUser } from '../host/uids.ts';
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

/** Makes a file that this process has written immutable as far as ownership goes, and durable. */
export function sealFile(path: string, mode: number): Promise<void> {
  return withUntrusted(path, { owner: (uid) => uid === process.getuid?.(), links: 1 }, async (file) => {
    await file.chmod(mode);
    await file.sync();
  });
}

/**
 * Takes a file that a machine has written away from its user: it is ours then, immutable and durable. One that was
 * taken before is only made durable.
 * @param links how many names it may have; undefined for a layer, which snapshots have names of
 * @throws NotOurFile when it is something else than a file of a machine
 */
export function takeFile(path: string, mode: number, links?: number): Promise<void> {
  return withUntrusted(path, links === undefined ? {} : { links }, async (file) => {
    const { uid, mode: present } = await file.stat();
    if (isMachineUser(uid)) {
      // In this order a crash in between leaves a file that is taken again.
      await file.chmod(mode);
      if (process.getuid?.() === 0) await file.chown(0, 0);
    } else if ((present & 0o777) !== mode)
      // Such as a memory image, of which a machine of an older worker could make another name.
      throw new NotOurFile(`${path} belongs to user ${uid}, and no machine has written it`);
    await file.sync();
  });
}

/** @throws NotOurFile when something else stands in place of a socket: a machine of an older worker could put it there */
export async function assertSocket(path: string): Promise<void> {
  if (!(await lstat(path)).isSocket()) throw new NotOurFile(`${path} is no socket`);
}
