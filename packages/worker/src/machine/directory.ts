import { chmod, chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { OverlayStock } from '../disk/overlay.ts';
import { linkFile } from '../disk/overlay.ts';
import { machineFiles, type DiskLayer } from './argv.ts';
import type { Manifest } from './manifest.ts';

/** QEMU's working directory for one run of a machine. The worker's own files stay outside of it. */
export function runDirectory(directory: string, run: number): string {
  return join(directory, `run-${run}`);
}

/** The layers of a snapshot as a machine's directory names them, the oldest first. */
export function layersOf(formats: readonly DiskLayer['format'][]): DiskLayer[] {
  return formats.map((format, index) => ({ file: machineFiles.layer(index), format }));
}

/**
 * Makes QEMU's working directory. With a uid of its own QEMU may create its sockets there but, by the sticky bit,
 * neither replace nor delete what is not its own.
 */
export async function makeRunDirectory(run: string, uid: number | undefined): Promise<void> {
  await mkdir(run, { recursive: true });
  await chmod(run, uid === undefined ? 0o700 : 0o1777);
}

/** Creates a writable overlay. */
export async function makeOverlay(
  path: string,
  overlays: OverlayStock,
  diskMB: number,
  uid: number | undefined,
): Promise<void> {
  await overlays.create(path, diskMB);
  if (uid !== undefined) await chown(path, uid, uid);
}

/** Gives a run the disk layers of a snapshot, as further names of the same files. */
export async function linkLayers(run: string, snapshot: string, manifest: Manifest): Promise<DiskLayer[]> {
  const layers = layersOf(manifest.layers);
  await Promise.all(layers.map(({ file }) => linkFile(join(snapshot, file), join(run, file))));
  return layers;
}
