import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { OverlayStock } from '../disk/overlay.ts';

/** QEMU's working directory for one run of a machine. The worker's own files stay outside of it. */
export function runDirectory(directory: string, run: number): string {
  return join(directory, `run-${run}`);
}

/**
 * Makes QEMU's working directory. It is ours: with a uid of its own QEMU opens files there by name, and can neither
 * add, replace nor remove any.
 */
export async function makeRunDirectory(run: string, uid: number | undefined): Promise<void> {
  await mkdir(run, { recursive: true });
  await closeRunDirectory(run, uid);
}

/** Closes a run directory to its machine, which could write it with an older worker. @throws Error when it is missing */
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
