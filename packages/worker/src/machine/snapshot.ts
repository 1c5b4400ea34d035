import { constants, open } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '../host/atomic-file.ts';
import { sealJson } from '../host/sealed-json.ts';
import { type Manifest, manifestFile, sizesOf } from './manifest.ts';
import type { Qmp } from './qmp.ts';

/**
 * Saves the device state of a stopped machine, without RAM and disks, to a file in its directory.
 * QEMU has the command for Xen's tools, but it serves any machine.
 */
export async function saveDevices(qmp: Qmp, file: string): Promise<void> {
  await qmp.run('xen-save-devices-state', { filename: file, live: false }, 30_000);
}

/**
 * Makes a file immutable as far as ownership goes, and durable. QEMU's user may have put something else in its place.
 * @throws Error when it is no regular file
 */
export async function sealFile(path: string, mode: number): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) throw new Error(`${path} is not a file`);
    if (process.getuid?.() === 0) await file.chown(0, 0);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
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
