import { setTimeout as delay } from 'node:timers/promises';
import { constants, open } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '../host/atomic-file.ts';
import { sealJson } from '../host/sealed-json.ts';
import { machineFiles } from './argv.ts';
import { type Manifest, manifestFile, sizesOf } from './manifest.ts';
import type { Qmp } from './qmp.ts';

/** QEMU holds port events back for up to a second when they come fast (monitor/monitor.c, rate limits). */
const hangUpMs = 3_000;

/** Whether the guest holds the agent port open. */
async function guestHoldsPort(qmp: Qmp): Promise<boolean> {
  const devices = (await qmp.run('query-chardev')) as { label?: unknown; 'frontend-open'?: unknown }[];
  return devices.some(
    (device) => device.label === machineFiles.agentDevice && device['frontend-open'] === true,
  );
}

/**
 * Hangs up the agent channel and waits until the guest has seen it and waits for the next call. A guest frozen
 * before that would wake with half a conversation in its port, and cost the next caller a try.
 * @param hangUp closes our end
 * @throws Error when the guest did not react in time
 */
export async function hangUpAndWait(qmp: Qmp, hangUp: () => void): Promise<void> {
  // The guest closes its end and opens it again. QEMU may tell of both, or of the second alone.
  let seen = false;
  const watch = (name: string): void => {
    seen ||= name === 'VSERPORT_CHANGE';
  };
  qmp.on('event', watch);
  try {
    hangUp();
    const end = Date.now() + hangUpMs;
    for (;;) {
      const open = await guestHoldsPort(qmp);
      if (seen && open) return;
      seen ||= !open;
      if (Date.now() >= end) throw new Error('the guest did not see the channel end');
      await delay(2);
    }
  } finally {
    qmp.off('event', watch);
  }
}

/**
 * Saves the device state of a stopped machine, without RAM and disks, to a file in its directory.
 * QEMU has the command for Xen's tools, but it serves any machine.
 */
export async function saveDevices(qmp: Qmp, file: string): Promise<void> {
  await qmp.run('xen-save-devices-state', { filename: file, live: false }, 30_000);
}

/**
 * Makes a file immutable as far as ownership goes, and durable. QEMU's user may have put something else in its place.
 * @throws Error when it is no regular file
 */
export async function sealFile(path: string, mode: number): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) throw new Error(`${path} is not a file`);
    if (process.getuid?.() === 0) await file.chown(0, 0);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}

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
