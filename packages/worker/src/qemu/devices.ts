import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { machineFiles } from './argv.ts';
import type { Qmp } from './qmp.ts';
import { makeFileFor } from './run-files.ts';

/**
 * Saves the device state of a paused machine, without RAM and disks, to the file `devices` in its run directory. QEMU
 * has this command for Xen's tools, but it works for every machine.
 * @param uid the machine's user, who may not create files there; undefined where it is our own
 */
export async function saveDevices(qmp: Qmp, run: string, uid: number | undefined): Promise<void> {
  const file = join(run, machineFiles.devices);
  await rm(file, { force: true });
  await makeFileFor(uid, file, 0);
  await qmp.run('xen-save-devices-state', { filename: machineFiles.devices, live: false }, 30_000);
}
