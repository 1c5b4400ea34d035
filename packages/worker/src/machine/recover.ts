import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isSandboxId } from '@opencomputer/protocol';
import { discardDirectory } from '../disk/overlay.ts';
import type { Capacity } from '../host/capacity.ts';
import type { ProcessIdentity } from '../host/processes.ts';
import { adoptMachine } from './adopt.ts';
import { runDirectory } from './directory.ts';
import { hibernationDirectory, hibernationStaging } from './hibernate.ts';
import type { Lifecycle } from './lifecycle.ts';
import { snapshotFiles } from './manifest.ts';
import { type Platform, processPrefix } from './platform.ts';
import { endProcess, findProcesses } from './process.ts';
import { type MachineRecord, readRecord } from './record.ts';
import type { MachineRegistry } from './registry.ts';

export interface Recovery {
  adopted: string[];
  hibernated: string[];
  /** Machines whose process is gone; their disks are kept. */
  lost: string[];
  /** Creates and deletes that were interrupted and are now undone or finished. */
  cleaned: string[];
}

interface Host {
  platform: Platform;
  registry: MachineRegistry;
  lifecycle: Lifecycle;
  capacity: Capacity;
  /** Directory of all machines. */
  directory: string;
}

/**
 * Finds what a predecessor of this worker left: takes over every machine that runs, undoes half-made ones, finishes
 * begun deletions, ends processes that belong to nothing. A directory whose record is damaged is left as it is.
 */
export async function recoverMachines(host: Host): Promise<Recovery> {
  const { platform, directory } = host;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const processes = findProcesses(processPrefix(platform.instanceTag));
  const recovery: Recovery = { adopted: [], hibernated: [], lost: [], cleaned: [] };
  for (const id of (await readdir(directory)).filter(isSandboxId)) {
    const own = [...processes.keys()].filter((name) => name.startsWith(`${id}.`));
    try {
      const record = await readRecord(join(directory, id));
      if (record?.ready !== true || record.deleting) {
        await endAll(own, processes);
        await discardDirectory(join(directory, id), platform.trash);
        recovery.cleaned.push(id);
      } else await takeOver(host, record, processes, recovery);
    } catch (error) {
      platform.log.error({ machine: id, err: error }, 'a machine cannot be read: it is left as it is');
      for (const name of own) processes.delete(name);
    }
  }
  for (const [name, process] of processes) {
    platform.log.warn({ process: name }, 'ending a QEMU process that belongs to no machine');
    await endProcess(process);
  }
  return recovery;
}

async function endAll(names: readonly string[], processes: Map<string, ProcessIdentity>): Promise<void> {
  for (const name of names) {
    const process = processes.get(name);
    if (process !== undefined) await endProcess(process);
    processes.delete(name);
  }
}

/** Brings one machine back under control. Processes of runs that the record does not name are left in the map, to be ended. */
async function takeOver(
  host: Host,
  record: MachineRecord,
  processes: Map<string, ProcessIdentity>,
  recovery: Recovery,
): Promise<void> {
  const { platform, registry, lifecycle, capacity } = host;
  const { id, run } = record;
  const directory = join(host.directory, id);
  const name = `${id}.${run}`;
  await removeRemains(platform, directory, record);
  if (record.hibernated) {
    registry.setResting({ record, state: 'hibernated', reason: undefined });
    recovery.hibernated.push(id);
    return;
  }
  const process = processes.get(name);
  if (process === undefined) {
    registry.setResting({
      record,
      state: 'failed',
      reason: 'its QEMU process ended while the worker was not running',
    });
    recovery.lost.push(id);
    return;
  }
  processes.delete(name);
  try {
    const machine = await adoptMachine(platform, { directory, record, process }, lifecycle.ended);
    capacity.adopt(id, record.spec.memoryMB);
    registry.setRunning(machine);
    recovery.adopted.push(id);
  } catch (error) {
    platform.log.error({ machine: id, err: error }, 'a running machine cannot be taken over');
    registry.setResting({
      record,
      state: 'failed',
      reason: `it cannot be taken over: ${(error as Error).message}`,
    });
    recovery.lost.push(id);
  }
}

/** Removes what a change of the machine's life that did not complete left in its directory. */
async function removeRemains(platform: Platform, directory: string, record: MachineRecord): Promise<void> {
  await discardDirectory(hibernationStaging(directory), platform.trash);
  if (!record.hibernated) await discardDirectory(hibernationDirectory(directory), platform.trash);
  for (const entry of await readdir(directory)) {
    const path = join(directory, entry);
    if (/^run-\d+$/.test(entry) && path !== runDirectory(directory, record.run))
      await discardDirectory(path, platform.trash);
  }
  const run = runDirectory(directory, record.run);
  const named = new Set([record.top, ...record.layers.map(({ file }) => file)]);
  for (const entry of await readdir(run)) {
    // The record names a layer before QEMU uses it.
    const left = entry === snapshotFiles.devices || (/^(disk|layer)/.test(entry) && !named.has(entry));
    if (left) await rm(join(run, entry), { force: true });
  }
}
