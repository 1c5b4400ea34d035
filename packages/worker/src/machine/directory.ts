import { chmod, chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { OverlayStock } from '../disk/overlay.ts';
import { linkFile } from '../disk/overlay.ts';
import { machineFiles, type DiskLayer } from './argv.ts';
import { type Manifest, snapshotFiles } from './manifest.ts';

/** QEMU's working directory inside a machine's directory. The worker's own files stay outside of it. */
export const runDirectory = 'run';

/** The layers of a snapshot as a machine's directory names them, the oldest first. */
export function layersOf(formats: readonly DiskLayer['format'][]): DiskLayer[] {
  return formats.map((format, index) => ({ file: machineFiles.layer(index), format }));
}

/**
 * Makes QEMU's working directory. With a uid of its own QEMU may create its sockets there but, by the sticky bit,
 * neither replace nor delete what is not its own.
 */
export async function makeRunDirectory(directory: string, uid: number | undefined): Promise<string> {
  const run = join(directory, runDirectory);
  await mkdir(run, { recursive: true });
  await chmod(run, uid === undefined ? 0o700 : 0o1777);
  return run;
}

/** Creates the writable disk of a machine. */
export async function makeDisk(
  run: string,
  overlays: OverlayStock,
  diskMB: number,
  uid: number | undefined,
): Promise<void> {
  const disk = join(run, machineFiles.disk);
  await overlays.create(disk, diskMB);
  if (uid !== undefined) await chown(disk, uid, uid);
}

/** Gives a machine what it shares with a snapshot: the RAM image and the disk layers, as further names of the same files. */
export async function linkSnapshot(run: string, snapshot: string, manifest: Manifest): Promise<void> {
  const files = [snapshotFiles.ram, ...layersOf(manifest.layers).map((layer) => layer.file)];
  await Promise.all(files.map((file) => linkFile(join(snapshot, file), join(run, file))));
}
