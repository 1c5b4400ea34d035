import { stat, writeFile } from 'node:fs/promises';
import {
  type BlockSums,
  type ByteRange,
  decodeSums,
  digestOf,
  encodeSums,
  sumAgain,
  sumFile,
} from '../host/checksums.ts';
import { systemErrorCode } from '../host/errors.ts';
import { withUntrusted } from '../host/untrusted-file.ts';
import type { HostSetup } from '../qemu/setup.ts';

/** Name of the file that holds the checksums of a RAM image, beside it. */
export function sumsFile(image: string): string {
  return `${image}.sums`;
}

/**
 * The checksums that a copy of a RAM image begins with: those of the image. What the copy does not share with it any
 * more is found that way. They are made where there are none, or none that are whole.
 */
export async function inheritSums(host: HostSetup, image: string, copy: string): Promise<BlockSums> {
  const { size } = await withUntrusted(image, {}, (file) => file.stat());
  try {
    const kept = await withUntrusted(sumsFile(image), {}, (file) => file.readFile());
    const sums = decodeSums(kept, size);
    if (sums !== undefined) return sums;
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  return sumFile(copy, host.qemu.imagePath);
}

/**
 * Brings the checksums of a RAM image up to date and puts them beside it.
 * @param changed bytes that were written over it since
 * @returns its digest
 */
export async function saveSums(
  host: HostSetup,
  image: string,
  sums: BlockSums,
  changed: readonly ByteRange[],
): Promise<string> {
  await sumAgain(image, sums, changed);
  await writeFile(sumsFile(image), encodeSums(sums), { flag: 'wx', mode: 0o400, flush: true });
  const digest = digestOf(sums, (await stat(image)).size);
  await host.integrity.trust(image, digest);
  return digest;
}
