import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isSandboxId } from '@opencomputer/protocol';
import { discardDirectory } from '../disk/overlay.ts';
import type { Capacity } from '../host/capacity.ts';
import type { ProcessIdentity } from '../host/processes.ts';
import { adoptMachine } from './adopt.ts';
import { type Platform, processPrefix } from './platform.ts';
import { endProcess, findProcesses } from './process.ts';
import { type MachineRecord, readRecord } from './record.ts';
import type { MachineRegistry } from './registry.ts';

export interface Recovery {
  adopted: string[];
  /** Machines whose process is gone; their disks are kept. */
  lost: string[];
  /** Creates and deletes that were interrupted and are now undone or finished. */
  cleaned: string[];
}

/**
 * Finds what a predecessor of this worker left: takes over every machine that runs, undoes half-made ones, finishes
 * begun deletions, ends processes that belong to nothing. A directory whose record is damaged is left as it is.
 */
export async function recoverMachines(
  platform: Platform,
  registry: MachineRegistry,
  capacity: Capacity,
  directory: string,
): Promise<Recovery> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const processes = findProcesses(processPrefix(platform.instanceTag));
  const recovery: Recovery = { adopted: [], lost: [], cleaned: [] };
  const found: { id: string; record: MachineRecord | undefined }[] = [];
  for (const id of (await readdir(directory)).filter(isSandboxId)) {
    try {
      found.push({ id, record: await readRecord(join(directory, id)) });
    } catch (error) {
      platform.log.error({ machine: id, err: error }, 'a damaged record: this machine is left as it is');
      processes.delete(id);
    }
  }
  const kept = found.filter(({ record }) => record?.ready === true && !record.deleting);
  for (const { id, record } of kept) {
    const process = processes.get(id);
    processes.delete(id);
    if (record !== undefined)
      await takeOver(platform, registry, capacity, directory, record, process, recovery);
  }
  for (const [id, process] of processes) {
    platform.log.warn({ process: id }, 'ending a QEMU process that belongs to no machine');
    await endProcess(process);
  }
  for (const { id } of found.filter((entry) => !kept.includes(entry))) {
    await discardDirectory(join(directory, id), platform.trash);
    recovery.cleaned.push(id);
  }
  return recovery;
}

async function takeOver(
  platform: Platform,
  registry: MachineRegistry,
  capacity: Capacity,
  directory: string,
  record: MachineRecord,
  process: ProcessIdentity | undefined,
  recovery: Recovery,
): Promise<void> {
  const { id } = record;
  if (process === undefined) {
    registry.addFailed(record, 'its QEMU process ended while the worker was not running');
    recovery.lost.push(id);
    return;
  }
  try {
    const machine = await adoptMachine(
      platform,
      { directory: join(directory, id), record, process },
      registry.ended,
    );
    capacity.adopt(id, record.spec.memoryMB);
    registry.add(machine);
    recovery.adopted.push(id);
  } catch (error) {
    platform.log.error({ machine: id, err: error }, 'a running machine cannot be taken over');
    registry.addFailed(record, `it cannot be taken over: ${(error as Error).message}`);
    recovery.lost.push(id);
  }
}
