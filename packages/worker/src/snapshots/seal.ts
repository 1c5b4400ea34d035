import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '../host/atomic-file.ts';
import { sealJson } from '../host/sealed-json.ts';
import { type Manifest, manifestFile, sizesOf } from './manifest.ts';

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

/**
 * Renames a complete snapshot to its final name, in one step. It survives a power cut when this returns.
 * @throws Error when another one has this name; both stay as they were
 */
export async function publishSnapshot(complete: string, target: string): Promise<void> {
  await rename(complete, target);
  await syncDirectory(dirname(target));
}
