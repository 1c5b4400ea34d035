import { existsSync } from 'node:fs';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { OverlayStock } from '../disk/overlay.ts';
import { linkFile } from '../disk/overlay.ts';
import { machineFiles, type DiskLayer } from './argv.ts';
import { type Manifest, snapshotFiles } from './manifest.ts';
import { sumsFile } from './memory-sums.ts';
import type { MachineRecord } from './record.ts';

/** QEMU's working directory for one run of a machine. The worker's own files stay outside of it. */
export function runDirectory(directory: string, run: number): string {
  return join(directory, `run-${run}`);
}

/** The layers of a snapshot as a machine's directory names them, the oldest first. */
export function layersOf(formats: readonly DiskLayer['format'][]): DiskLayer[] {
  return formats.map((format, index) => ({ file: machineFiles.layer(index), format }));
}

/**
 * Makes QEMU's working directory. It is ours: with a uid of its own QEMU opens files there by name, and can neither
 * add, replace nor remove any.
 */
export async function makeRunDirectory(run: string, uid: number | undefined): Promise<void> {
  await mkdir(run, { recursive: true });
  await closeRunDirectory(run, uid);
}

/** Closes a run directory to its machine, which could write it with an older worker. @throws Error when it is missing */
export function closeRunDirectory(run: string, uid: number | undefined): Promise<void> {
  return chmod(run, uid === undefined ? 0o700 : 0o711);
}

/** Creates the writable overlay of a run. */
export function makeOverlay(
  path: string,
  overlays: OverlayStock,
  diskMB: number,
  uid: number | undefined,
): Promise<void> {
  return overlays.create(path, dirname(dirname(path)), { diskMB, uid });
}

/** Gives a run the disk layers of a snapshot, as further names of the same files. */
export async function linkLayers(
  run: string,
  snapshot: string,
  manifest: Manifest,
): Promise<MachineRecord['layers']> {
  const layers = layersOf(manifest.layers).map((layer) => {
    const digest = manifest.digests?.[layer.file];
    return digest === undefined ? layer : { ...layer, digest };
  });
  await Promise.all(layers.map(({ file }) => linkFile(join(snapshot, file), join(run, file))));
  return layers;
}

/** Gives a run a memory image to map, as a further name of the same file, with its checksums where it has them. */
export async function linkMemory(run: string, image: string): Promise<void> {
  const ram = join(run, snapshotFiles.ram);
  await rm(ram, { force: true });
  await rm(sumsFile(ram), { force: true });
  await linkFile(image, ram);
  if (existsSync(sumsFile(image))) await linkFile(sumsFile(image), sumsFile(ram));
}
