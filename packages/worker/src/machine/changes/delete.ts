import { existsSync } from 'node:fs';
import { discardDirectory } from '../../disk/trash.ts';
import { systemErrorCode } from '../../host/errors.ts';
import { endProcessesOf } from '../../qemu/process.ts';
import { machinePrefix, type HostSetup } from '../../qemu/setup.ts';
import type { Machine } from '../machine.ts';
import { type MachineRecord, readRecord, writeRecord } from '../record.ts';
import { atStep } from '../steps.ts';

/** Ends a machine, running or not, and deletes its disk. Succeeds where there is none. */
export async function deleteMachine(
  host: HostSetup,
  doomed: { id: string; directory: string; machine: Machine | undefined; record: MachineRecord | undefined },
): Promise<void> {
  const { id, directory, machine } = doomed;
  const record = doomed.record ?? (await readable(host, directory));
  if (record !== undefined && existsSync(directory)) await markDeleting(host, directory, record);
  await atStep('delete:marked', id);
  machine?.expectEnd();
  await endProcessesOf(machinePrefix(host.instanceTag, id), directory);
  await atStep('delete:ended', id);
  if (machine !== undefined) await host.network.release(machine.slot);
  await discardDirectory(directory, host.trash);
  await atStep('delete:moved', id);
}

/** The record of a machine that is to be deleted. A damaged record must not prevent the deletion. */
async function readable({ log }: HostSetup, directory: string): Promise<MachineRecord | undefined> {
  try {
    return await readRecord(directory);
  } catch (error) {
    log.warn({ err: error }, 'deleting a machine whose record is damaged');
    return undefined;
  }
}

/**
 * Marks the machine, so that the next worker finishes the deletion after a crash. On a full disk it is deleted without
 * the mark: that makes room.
 */
async function markDeleting({ log }: HostSetup, directory: string, record: MachineRecord): Promise<void> {
  try {
    await writeRecord(directory, { ...record, deleting: true });
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOSPC') throw error;
    log.warn({ machine: record.id }, 'deleting a machine on a full disk');
  }
}
