import { join } from 'node:path';
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
