import { rename } from 'node:fs/promises';
import { type Manifest, readManifest } from '../snapshots/manifest.ts';

/**
 * Gives a finished snapshot its name. Another worker with the same cache may have been faster: then its one stands.
 * @param manifest that of the finished one
 * @returns the manifest of the one that stands, whose files machines get: no two builds are the same to the byte
 */
export async function publish(finished: string, target: string, manifest: Manifest): Promise<Manifest> {
  try {
    await rename(finished, target);
    return manifest;
  } catch (error) {
    const taken = ['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '');
    const standing = taken ? await readManifest(target) : undefined;
    if (standing === undefined) throw error;
    return standing;
  }
}
