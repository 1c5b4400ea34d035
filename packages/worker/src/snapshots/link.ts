import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { linkFile } from '../disk/links.ts';
import { type DiskLayer, machineFiles } from '../qemu/argv.ts';
import { checksumsPath } from './checksums.ts';
import { type Layer, type Manifest, snapshotFiles } from './manifest.ts';

/** The layers of a snapshot as a machine's directory names them, the oldest first. */
export function layersOf(formats: readonly DiskLayer['format'][]): DiskLayer[] {
  return formats.map((format, index) => ({ file: machineFiles.layer(index), format }));
}

/** Links the disk layers of a snapshot into a run's directory. */
export async function linkLayers(run: string, snapshot: string, manifest: Manifest): Promise<Layer[]> {
  const layers = layersOf(manifest.layers).map((layer) => {
    const digest = manifest.digests?.[layer.file];
    return digest === undefined ? layer : { ...layer, digest };
  });
  await Promise.all(layers.map(({ file }) => linkFile(join(snapshot, file), join(run, file))));
  return layers;
}

/** Links a memory image into a run's directory, with its checksums where there are any. */
export async function linkMemory(run: string, image: string): Promise<void> {
  const ram = join(run, snapshotFiles.ram);
  await rm(ram, { force: true });
  await rm(checksumsPath(ram), { force: true });
  await linkFile(image, ram);
  if (existsSync(checksumsPath(image))) await linkFile(checksumsPath(image), checksumsPath(ram));
}
