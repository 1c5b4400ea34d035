import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiError } from '@opencomputer/protocol';
import { discardDirectory } from '../disk/overlay.ts';
import { systemErrorCode } from '../host/errors.ts';
import { FileDamaged } from '../host/integrity.ts';
import type { NetworkSlot } from '../network/types.ts';
import { verifyLayers } from './damage.ts';
import { linkMemory, makeRunDirectory, runDirectory } from './directory.ts';
import { Gate } from './gate.ts';
import { hibernationDirectory } from './hibernate.ts';
import type { Machine } from './machine.ts';
import { type Compatibility, incompatibility, snapshotFiles } from './manifest.ts';
import { machineUid, type Platform } from './platform.ts';
import { endProcess } from './process.ts';
import { QmpTimeout } from './qmp.ts';
import { freshRecord, type MachineRecord, writeRecord } from './record.ts';
import { handOver } from './run-files.ts';
import { takeFile } from './snapshot.ts';
import { atStep } from './steps.ts';
import { begin, type OnEnd, startBooting, startRestored, untilAnswered, waitUntilBooted } from './start.ts';

interface Sleeper {
  directory: string;
  record: MachineRecord;
}

/** Hands the writable disk of a run to the user of its new process. */
async function prepareRun(directory: string, record: MachineRecord, slot: NetworkSlot): Promise<void> {
  const uid = machineUid(slot);
  const run = runDirectory(directory, record.run);
  await makeRunDirectory(run, uid);
  if (uid !== undefined) await handOver(join(run, record.top), uid);
  // An overlay that became a layer in a checkpoint that did not complete is still its last user's alone.
  for (const { file } of record.layers) if (file.startsWith('disk')) await takeFile(join(run, file), 0o444);
}

/** The memory of a hibernated machine is damaged, or another host's: it cannot be restored. */
export class MemoryLost extends Error {
  override readonly name = 'MemoryLost';
}

/** @throws MemoryLost when a saved memory is not of this host, or files of it are missing, cut off or changed */
async function checkMemory(
  platform: Platform,
  directory: string,
  record: MachineRecord,
  here: Compatibility,
): Promise<void> {
  const { memoryMB } = record.spec;
  const reason = record.saved === undefined ? undefined : incompatibility(record.saved.compatibility, here);
  if (reason !== undefined) throw new MemoryLost(reason);
  for (const file of [snapshotFiles.ram, snapshotFiles.devices] as const) {
    let size: number;
    try {
      ({ size } = await stat(join(directory, file)));
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      throw new MemoryLost(`the file ${file} is missing`, { cause: error });
    }
    // QEMU would fill up what is missing with zeros.
    const due = file === snapshotFiles.ram ? memoryMB * 1024 * 1024 : undefined;
    if (size === 0 || (due !== undefined && size !== due))
      throw new MemoryLost(`the file ${file} has ${size} bytes${due === undefined ? '' : `, not ${due}`}`);
    const digest = record.saved?.digests?.[file];
    if (digest !== undefined) await verifyMemory(platform, join(directory, file), digest);
  }
}

async function verifyMemory({ integrity }: Platform, path: string, digest: string): Promise<void> {
  try {
    await integrity.verify(path, digest);
  } catch (error) {
    if (error instanceof FileDamaged) throw new MemoryLost(error.message, { cause: error });
    throw error;
  }
}

/** Checks the disk of a machine at rest. @throws ApiError `snapshot_damaged` */
export async function checkDisk(platform: Platform, { directory, record }: Sleeper): Promise<void> {
  const run = runDirectory(directory, record.run);
  const top = record.hibernated ? record.saved?.digests?.top : undefined;
  try {
    await verifyLayers(platform, run, record.layers);
    if (top !== undefined) await platform.integrity.verify(join(run, record.top), top);
  } catch (error) {
    if (!(error instanceof FileDamaged)) throw error;
    throw new ApiError('snapshot_damaged', `the disk of sandbox ${record.id} is damaged: ${error.message}`, {
      cause: error,
    });
  }
}

/** Starts a machine with its memory. What the host itself refuses may go well the next time. */
async function startWithMemory(...args: Parameters<typeof startRestored>): Promise<Machine> {
  try {
    return await startRestored(...args);
  } catch (error) {
    const late = error instanceof QmpTimeout || (error as Error).cause instanceof QmpTimeout;
    if (late || systemErrorCode(error) !== undefined) throw error;
    throw new MemoryLost((error as Error).message, { cause: error });
  }
}

/**
 * Wakes a hibernated machine where it was. The record says that it runs before it runs: from then on its memory on
 * disk is out of date and is never used again, and it is deleted once the guest has answered, or has died.
 * @param here what machines of this host are compatible with
 * @throws MemoryLost when its memory is damaged or another host's
 * @throws Error when it cannot be restored now; it is still hibernated then
 */
export async function wakeMachine(
  platform: Platform,
  { directory, record }: Sleeper,
  here: Compatibility,
  onEnd: OnEnd,
): Promise<{ machine: Machine; answered: Promise<void> }> {
  await using stack = new AsyncDisposableStack();
  const memory = hibernationDirectory(directory);
  await checkMemory(platform, memory, record, here);
  const slot = await platform.network.claim();
  stack.defer(() => platform.network.release(slot));
  await prepareRun(directory, record, slot);
  await linkMemory(runDirectory(directory, record.run), join(memory, snapshotFiles.ram));

  await atStep('wake:linked', record.id);

  const woken: MachineRecord = {
    ...freshRecord(record),
    slot: slot.index,
    uid: slot.uid,
    startedFrom: 'memory',
  };
  const run = { directory, record: woken, slot, gate: new Gate() };
  const machine = await startWithMemory(platform, run, join(memory, snapshotFiles.devices), onEnd);
  stack.defer(() => endProcess(machine.process.identity));
  stack.defer(() => machine.expectEnd());
  await atStep('wake:loaded', record.id);
  machine.assertAlive();
  await machine.save({});
  stack.move();
  await atStep('wake:recorded', record.id);
  // Its state lives in the process from here on: slow or not, it is never undone.
  const place = { step: 'wake:answered', id: record.id } as const;
  const answered = untilAnswered(begin(machine, 'snapshot'), place, () =>
    discardDirectory(memory, platform.trash),
  );
  answered.catch(() => undefined);
  return { machine, answered };
}

/**
 * Starts a machine from its disk with empty memory: after a reboot, a crash, or where its memory is lost.
 * @param reason why its memory is not used, where it was asked for
 * @throws Error when it does not come up; its disk is as it was
 */
export async function bootMachine(
  platform: Platform,
  { directory, record }: Sleeper,
  reason: string | undefined,
  onEnd: OnEnd,
): Promise<{ machine: Machine; answered: Promise<void> }> {
  await using stack = new AsyncDisposableStack();
  const slot = await platform.network.claim();
  stack.defer(() => platform.network.release(slot));
  await prepareRun(directory, record, slot);
  const booted: MachineRecord = {
    ...freshRecord(record),
    slot: slot.index,
    uid: slot.uid,
    startedFrom: 'disk',
    ...(reason === undefined ? {} : { coldBootReason: reason }),
  };
  await atStep('boot:prepared', record.id);
  // Before it boots: what it writes to its disk from now on does not fit a memory that was saved before.
  await writeRecord(directory, booted);
  await atStep('boot:recorded', record.id);
  const machine = await startBooting(platform, { directory, record: booted, slot, gate: new Gate() }, onEnd);
  stack.move();
  await machine.save({});
  await atStep('boot:started', record.id);
  const place = { step: 'boot:answered', id: record.id } as const;
  const answered = untilAnswered(waitUntilBooted(machine), place, () =>
    discardDirectory(hibernationDirectory(directory), platform.trash),
  );
  answered.catch(() => undefined);
  return { machine, answered };
}
