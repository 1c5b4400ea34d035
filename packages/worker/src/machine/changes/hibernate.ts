import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { discardDirectory } from '../../disk/trash.ts';
import { syncDirectory, syncFile } from '../../host/atomic-file.ts';
import { machineFiles } from '../../qemu/argv.ts';
import { endProcess } from '../../qemu/process.ts';
import { copyRamImage, ramMode } from '../../qemu/ram.ts';
import { sealFile, takeFile } from '../../qemu/run-files.ts';
import type { HostSetup } from '../../qemu/setup.ts';
import { inheritChecksums, saveChecksums } from '../../snapshots/checksums.ts';
import { type Compatibility, snapshotFiles } from '../../snapshots/manifest.ts';
import { occupiedBytes } from '../../snapshots/store.ts';
import type { Machine } from '../machine.ts';
import { atStep } from '../steps.ts';
import { endFlattening } from './flatten.ts';
import { quiet, stopMachine, takeMemory } from './freeze.ts';

/** The directory with the memory of a hibernated machine. */
export function hibernationDirectory(directory: string): string {
  return join(directory, 'hibernation');
}

/** The directory in which it is put together; after a crash it is deleted. */
export function hibernationStaging(directory: string): string {
  return join(directory, 'hibernation.making');
}

/**
 * Saves a machine's memory and ends its process. The one durable step is the write of the record: all of the memory is
 * on disk by then, and until then the machine can go on.
 * @param here what a memory must be compatible with to be restored on this host
 * @throws Error when it could not be saved, and the machine runs on; or when its process or its network could not be
 *   removed, and its record says that it is hibernated
 */
export async function hibernateMachine(
  host: HostSetup,
  machine: Machine,
  here: Compatibility,
): Promise<void> {
  await endFlattening(machine);
  const staging = hibernationStaging(machine.directory);
  const final = hibernationDirectory(machine.directory);
  await discardDirectory(staging, host.trash);
  await mkdir(staging, { mode: 0o700 });
  const image = join(machine.runDirectory, machineFiles.ram);
  const ram = join(staging, snapshotFiles.ram);
  try {
    await copyRamImage(image, ram);
    const checksums = await inheritChecksums(host, image, ram);
    await atStep('hibernate:copied', machine.id);
    await quiet(machine, host.log);
    await stopMachine(machine);
    await atStep('hibernate:stopped', machine.id);
    const changed = await takeMemory(machine, ram);
    await atStep('hibernate:taken', machine.id);
    const devices = join(staging, snapshotFiles.devices);
    await rename(join(machine.runDirectory, snapshotFiles.devices), devices);
    const top = join(machine.runDirectory, machine.record.top);
    // Checksums are computed while the files are written to the disk.
    const sealed = Promise.all([
      sealFile(ram, ramMode(host.qemu.features)),
      takeFile(devices, 0o400, 1),
      syncFile(top),
    ]);
    sealed.catch(() => undefined);
    const digests = {
      ram: await saveChecksums(host, ram, checksums, changed),
      devices: await host.integrity.digest(devices),
      top: await host.integrity.digest(top),
    };
    await sealed;
    await syncDirectory(staging);
    await atStep('hibernate:sealed', machine.id);
    await discardDirectory(final, host.trash);
    await rename(staging, final);
    await atStep('hibernate:moved', machine.id);
    const bytes = await occupiedBytes(join(final, snapshotFiles.ram));
    await machine.save({
      hibernated: true,
      hibernationBytes: bytes,
      saved: { compatibility: here, digests },
    });
  } catch (error) {
    if (machine.qmp.open) await machine.qmp.run('cont');
    await discardDirectory(staging, host.trash);
    await discardDirectory(final, host.trash);
    await rm(join(machine.runDirectory, snapshotFiles.devices), { force: true });
    throw error;
  }
  await atStep('hibernate:recorded', machine.id);
  machine.expectEnd();
  await endProcess(machine.process.identity);
  await atStep('hibernate:ended', machine.id);
  await host.network.release(machine.slot);
}
