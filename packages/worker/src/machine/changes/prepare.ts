import { join } from 'node:path';
import { ApiError } from '@opencomputer/protocol';
import { FileDamaged } from '../../host/integrity.ts';
import type { NetworkSlot } from '../../network/types.ts';
import { makeRunDirectory, runDirectory } from '../../qemu/run-directory.ts';
import { handOver, takeFile } from '../../qemu/run-files.ts';
import { machineUid, type HostSetup } from '../../qemu/setup.ts';
import { verifyLayers } from '../../snapshots/damage.ts';
import type { MachineRecord } from '../record.ts';

/** A machine that does not run and is to be started again. */
export interface Sleeper {
  directory: string;
  record: MachineRecord;
}

/** Checks the disk of a machine that does not run. @throws ApiError `snapshot_damaged` */
export async function checkDisk(host: HostSetup, { directory, record }: Sleeper): Promise<void> {
  const run = runDirectory(directory, record.run);
  const top = record.hibernated ? record.saved?.digests?.top : undefined;
  try {
    await verifyLayers(host, run, record.layers);
    if (top !== undefined) await host.integrity.verify(join(run, record.top), top);
  } catch (error) {
    if (!(error instanceof FileDamaged)) throw error;
    throw new ApiError('snapshot_damaged', `the disk of sandbox ${record.id} is damaged: ${error.message}`, {
      cause: error,
    });
  }
}

/** Gives the writable disk of a run to the user of its new process. */
export async function prepareRun(directory: string, record: MachineRecord, slot: NetworkSlot): Promise<void> {
  const uid = machineUid(slot);
  const run = runDirectory(directory, record.run);
  await makeRunDirectory(run, uid);
  if (uid !== undefined) await handOver(join(run, record.top), uid);
  // After a snapshot that did not complete, an overlay that became a layer still belongs to its last user.
  for (const { file } of record.layers) if (file.startsWith('disk')) await takeFile(join(run, file), 0o444);
}
