import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { OverlayStock } from '../disk/overlay.ts';

/** QEMU's working directory for one run of a machine. The worker's own files are outside of it. */
export function runDirectory(directory: string, run: number): string {
  return join(directory, `run-${run}`);
}

/**
 * Makes QEMU's working directory. It belongs to us: QEMU, which has another uid, can open files there by name, but not
 * add, replace or remove any.
 */
export async function makeRunDirectory(run: string, uid: number | undefined): Promise<void> {
  await mkdir(run, { recursive: true });
  await closeRunDirectory(run, uid);
}

/**
 * Takes the right to write a run directory from its machine, which has it under older workers. @throws Error when it is
 * missing
 */
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
