import { systemErrorCode } from '../host/errors.ts';
import { type Manifest, readManifest } from '../snapshots/manifest.ts';
import { publishSnapshot } from '../snapshots/seal.ts';

/**
 * Gives a finished template its name, durably. Another worker with the same cache may have been faster: then its
 * template is the one that is used.
 * @param manifest that of the finished one
 * @returns the manifest of the one that is used, whose files machines get: no two builds are the same to the byte
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
