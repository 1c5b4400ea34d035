import { systemErrorCode } from '../host/errors.ts';
import { type Manifest, readManifest } from '../snapshots/manifest.ts';
import { publishSnapshot } from '../snapshots/seal.ts';

/**
 * Gives a finished template its name, durably. If another worker with the same cache was faster, its template is used.
 * @param manifest that of the finished template
 * @returns the manifest of the template that is used: two builds are never equal byte for byte
 */
export async function publish(finished: string, target: string, manifest: Manifest): Promise<Manifest> {
  try {
    await publishSnapshot(finished, target);
    return manifest;
  } catch (error) {
    const taken = ['ENOTEMPTY', 'EEXIST'].includes(systemErrorCode(error) ?? '');
    const standing = taken ? await readManifest(target) : undefined;
    if (standing === undefined) throw error;
    return standing;
  }
}
