import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '../host/atomic-file.ts';
import { sealJson } from '../host/sealed-json.ts';
import { NotOurFile, withUntrusted } from '../host/untrusted-file.ts';
import { type Manifest, manifestFile, sizesOf, snapshotFiles } from './manifest.ts';
import type { Qmp } from './qmp.ts';
import { makeFileFor } from './run-files.ts';
import { isMachineUser } from './users.ts';

/**
 * Saves the device state of a stopped machine, without RAM and disks, to the file `devices` in its run directory.
 * QEMU has the command for Xen's tools, but it serves any machine.
 * @param uid the machine's user, who may make no file there; undefined where it is ourselves
 */
export async function saveDevices(qmp: Qmp, run: string, uid: number | undefined): Promise<void> {
  const file = join(run, snapshotFiles.devices);
  await rm(file, { force: true });
  await makeFileFor(uid, file, 0);
  await qmp.run('xen-save-devices-state', { filename: snapshotFiles.devices, live: false }, 30_000);
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

/** Completes a snapshot whose files are in place and sealed: the manifest, with their sizes, is written last. */
export async function sealSnapshot(
  directory: string,
  description: Omit<Manifest, 'sizes'>,
): Promise<Manifest> {
  const manifest: Manifest = { ...description, sizes: await sizesOf(directory) };
  await writeFileAtomic(join(directory, manifestFile), sealJson(manifest));
  await syncDirectory(directory);
  return manifest;
}
