import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isSandboxId } from '@opencomputer/protocol';
import { overlayStaging } from '../../disk/overlay.ts';
import { discardDirectory } from '../../disk/trash.ts';
import type { Capacity } from '../../host/capacity.ts';
import { endProcess, type FoundProcess, listProcesses, runsMachine } from '../../qemu/process.ts';
import { closeRunDirectory, runDirectory } from '../../qemu/run-directory.ts';
import { machinePrefix, type HostSetup, processPrefix } from '../../qemu/setup.ts';
import { snapshotFiles } from '../../snapshots/manifest.ts';
import { type MachineRecord, readRecord } from '../record.ts';
import type { MachineRegistry } from '../registry.ts';
import { adoptMachine } from './adopt.ts';
import { hibernationDirectory, hibernationStaging } from './hibernate.ts';
import type { Runner } from './runner.ts';

export interface Recovery {
  adopted: string[];
  hibernated: string[];
  /** Machines whose process is gone; their disks are kept. */
  lost: string[];
  /** Interrupted creates that were undone, and interrupted deletes that were finished. */
  cleaned: string[];
}

interface Worker {
  runner: Runner;
  registry: MachineRegistry;
  capacity: Capacity;
  /** Directory of all machines. */
  directory: string;
}

/**
 * Recovers what an earlier worker left: takes over every machine that runs, removes half-made ones, finishes deletions,
 * ends processes that belong to no machine. A directory whose record is damaged is left as it is.
 */
export async function recoverMachines(worker: Worker): Promise<Recovery> {
  const { directory } = worker;
  const { host } = worker.runner;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const processes = new Set(listProcesses(processPrefix(host.instanceTag), directory));
  const recovery: Recovery = { adopted: [], hibernated: [], lost: [], cleaned: [] };
  for (const id of (await readdir(directory)).filter(isSandboxId)) {
    const named = machinePrefix(host.instanceTag, id);
    const own = [...processes].filter(
      (found) =>
        found.name?.startsWith(named) === true || found.directory.startsWith(`${join(directory, id)}/`),
    );
    try {
      const record = await readRecord(join(directory, id));
      if (record?.ready !== true || record.deleting) {
        await endAll(own, processes);
        await discardDirectory(join(directory, id), host.trash);
        recovery.cleaned.push(id);
      } else await takeOver(worker, record, processes, recovery);
    } catch (error) {
      host.log.error(
        { machine: id, err: error },
        'the record of a machine cannot be read: its directory is left as it is',
      );
      for (const found of own) processes.delete(found);
    }
  }
  for (const { name, uid, identity } of processes) {
    host.log.warn({ process: name, uid }, 'ending a QEMU process that belongs to no machine');
    await endProcess(identity);
  }
  return recovery;
}

async function endAll(doomed: readonly FoundProcess[], processes: Set<FoundProcess>): Promise<void> {
  for (const found of doomed) {
    await endProcess(found.identity);
    processes.delete(found);
  }
}

/** Recovers one machine. Processes that the record does not name stay in the set, and are ended later. */
async function takeOver(
  worker: Worker,
  record: MachineRecord,
  processes: Set<FoundProcess>,
  recovery: Recovery,
): Promise<void> {
  const { runner, registry, capacity } = worker;
  const { host } = runner;
  const { id, run } = record;
  const directory = join(worker.directory, id);
  await removeRemains(host, directory, record);
  if (record.hibernated) {
    registry.setDormant({ record, state: 'hibernated', reason: undefined });
    recovery.hibernated.push(id);
    return;
  }
  const claims = [...processes].filter((found) =>
    runsMachine(found, {
      directory: runDirectory(directory, run),
      uid: record.uid,
      qemu: host.qemu.path,
      identity: record.process,
    }),
  );
  const [found] = claims;
  if (found === undefined || claims.length > 1) {
    const reason =
      found === undefined
        ? 'its QEMU process ended while the worker was not running'
        : `${claims.length} processes say that they are its QEMU process`;
    registry.setDormant({ record, state: 'failed', reason });
    recovery.lost.push(id);
    return;
  }
  processes.delete(found);
  try {
    const adopted = { directory, record, process: found.identity };
    const machine = await adoptMachine(runner, adopted);
    capacity.adopt(id, record.spec.memoryMB);
    registry.setRunning(machine);
    recovery.adopted.push(id);
  } catch (error) {
    host.log.error({ machine: id, err: error }, 'a running machine cannot be taken over');
    registry.setDormant({
      record,
      state: 'failed',
      reason: `it cannot be taken over: ${(error as Error).message}`,
    });
    recovery.lost.push(id);
  }
}

/** Removes what an incomplete change of the machine left in its directory. */
async function removeRemains(host: HostSetup, directory: string, record: MachineRecord): Promise<void> {
  await discardDirectory(hibernationStaging(directory), host.trash);
  if (!record.hibernated) await discardDirectory(hibernationDirectory(directory), host.trash);
  for (const entry of await readdir(directory)) {
    const path = join(directory, entry);
    if (/^run-\d+$/.test(entry) && path !== runDirectory(directory, record.run))
      await discardDirectory(path, host.trash);
    if (entry.startsWith(overlayStaging)) await rm(path, { force: true });
  }
  const run = runDirectory(directory, record.run);
  await closeRunDirectory(run, process.getuid?.() === 0 ? record.uid : undefined);
  const named = new Set([record.top, ...record.layers.map(({ file }) => file)]);
  for (const entry of await readdir(run)) {
    // The record names a layer before QEMU uses it.
    const left = entry === snapshotFiles.devices || (/^(disk|layer)/.test(entry) && !named.has(entry));
    if (left) await rm(join(run, entry), { force: true });
  }
}
