import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../host/errors.ts';
import { FileDamaged, type Integrity } from '../host/integrity.ts';
import { type DiskLayer, machineFiles } from '../qemu/argv.ts';
import type { HostSetup } from '../qemu/setup.ts';
import { type Layer, type Manifest, snapshotFiles } from './manifest.ts';

/** The parts of the host's setup that verifying uses. */
type Verifier = Pick<HostSetup, 'integrity' | 'log'>;

/** The files of a snapshot that its memory consists of. */
export const memoryFiles: readonly string[] = [snapshotFiles.ram, snapshotFiles.devices];

/** The files of a snapshot that its disk consists of. */
export function diskFiles({ layers }: Manifest): string[] {
  return layers.map((_, index) => machineFiles.layer(index));
}

/** What is wrong with files of a snapshot; undefined when they are as they were saved. */
export async function findDamage(
  verifier: Verifier,
  { directory, manifest }: { directory: string; manifest: Manifest },
  names: readonly string[],
): Promise<string | undefined> {
  try {
    for (const name of names) {
      const path = join(directory, name);
      await checkSize(path, name, manifest.sizes[name]);
      const digest = manifest.digests?.[name];
      if (digest === undefined) continue;
      if (isShared(name, manifest.layers[0])) await verifyShared(verifier, path, digest);
      else await verifier.integrity.verify(path, digest);
    }
    return undefined;
  } catch (error) {
    if (error instanceof FileDamaged) return error.message;
    throw error;
  }
}

/** Checks the layers of a machine's disk. @throws FileDamaged */
export async function verifyLayers(verifier: Verifier, run: string, layers: readonly Layer[]): Promise<void> {
  for (const { file, format, digest } of layers) {
    if (digest === undefined) continue;
    if (isShared(file, format)) await verifyShared(verifier, join(run, file), digest);
    else await verifier.integrity.verify(join(run, file), digest);
  }
}

/** The root file system, which all machines share, takes seconds to read. */
function isShared(file: string, format: DiskLayer['format'] | undefined): boolean {
  return file === machineFiles.layer(0) && format === 'raw';
}

function verifyShared({ integrity, log }: Verifier, path: string, digest: string): Promise<void> {
  return integrity.verifyLater(path, digest, (damage) =>
    log.error(
      { err: damage, path },
      'the root file system of machines is damaged: they are refused from now on',
    ),
  );
}

/** @throws FileDamaged when a file is missing or has another size than it should */
async function checkSize(path: string, name: string, size: number | undefined): Promise<void> {
  let actual: number;
  try {
    ({ size: actual } = await stat(path));
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new FileDamaged(`the file ${name} is missing`, { cause: error });
  }
  if (size !== undefined && actual !== size)
    throw new FileDamaged(`the file ${name} is damaged: it has ${actual} bytes instead of ${size}`);
}

/** Digests of files that were just written, by name. */
export async function digestsOf(
  integrity: Integrity,
  directory: string,
  names: readonly string[],
): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const name of names) digests[name] = await integrity.digest(join(directory, name));
  return digests;
}
