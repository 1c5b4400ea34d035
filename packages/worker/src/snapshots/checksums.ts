import { stat, writeFile } from 'node:fs/promises';
import {
  type BlockChecksums,
  type ByteRange,
  decodeChecksums,
  digestOf,
  encodeChecksums,
  updateChecksums,
  computeChecksums,
} from '../host/checksums.ts';
import { systemErrorCode } from '../host/errors.ts';
import { withUntrusted } from '../host/untrusted-file.ts';
import type { HostSetup } from '../qemu/setup.ts';

/** Name of the file that holds the checksums of a RAM image, beside it. */
export function checksumsPath(image: string): string {
  return `${image}.sums`;
}

/**
 * The checksums for a copy of a RAM image, to be updated for the pages that change: those of the image, so that damage
 * to the copy is found, too. They are computed where the image has none, or damaged ones.
 */
export async function inheritChecksums(
  host: HostSetup,
  image: string,
  copy: string,
): Promise<BlockChecksums> {
  const { size } = await withUntrusted(image, {}, (file) => file.stat());
  try {
    const kept = await withUntrusted(checksumsPath(image), {}, (file) => file.readFile());
    const checksums = decodeChecksums(kept, size);
    if (checksums !== undefined) return checksums;
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  return computeChecksums(copy, host.qemu.imagePath);
}

/**
 * Updates the checksums of a RAM image and writes them beside it.
 * @param changed bytes that were changed since
 * @returns its digest
 */
export async function saveChecksums(
  host: HostSetup,
  image: string,
  checksums: BlockChecksums,
  changed: readonly ByteRange[],
): Promise<string> {
  await updateChecksums(image, checksums, changed);
  await writeFile(checksumsPath(image), encodeChecksums(checksums), { flag: 'wx', mode: 0o400, flush: true });
  const digest = digestOf(checksums, (await stat(image)).size);
  await host.integrity.trust(image, digest);
  return digest;
}
