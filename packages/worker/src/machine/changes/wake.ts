import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { discardDirectory } from '../../disk/trash.ts';
import { systemErrorCode } from '../../host/errors.ts';
import { FileDamaged } from '../../host/integrity.ts';
import { isSameProcess } from '../../host/processes.ts';
import { endProcess } from '../../qemu/process.ts';
import { QmpTimeout } from '../../qemu/qmp.ts';
import { runDirectory } from '../../qemu/run-directory.ts';
import type { HostSetup } from '../../qemu/setup.ts';
import { linkMemory } from '../../snapshots/link.ts';
import { type Compatibility, incompatibility, snapshotFiles } from '../../snapshots/manifest.ts';
import { Gate } from '../gate.ts';
import type { Machine } from '../machine.ts';
import { type MachineRecord, startedAgain } from '../record.ts';
import { atStep } from '../steps.ts';
import { bootMachine } from './boot.ts';
import { hibernationDirectory } from './hibernate.ts';
import { prepareRun, type Sleeper } from './prepare.ts';
import { begin, type Run, type Runner, type Started, untilAnswered } from './runner.ts';

/** The memory of a hibernated machine cannot be restored: it is damaged, or was saved by another kind of host. */
class MemoryLost extends Error {
  override readonly name = 'MemoryLost';
}

/**
 * @throws MemoryLost when a saved memory is not compatible with this host, or files of it are missing, cut off or
 * changed
 */
async function checkMemory(
  host: HostSetup,
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
    // QEMU would read zeros beyond the end of a file that was cut off.
    const due = file === snapshotFiles.ram ? memoryMB * 1024 * 1024 : undefined;
    if (size === 0 || (due !== undefined && size !== due))
      throw new MemoryLost(`the file ${file} has ${size} bytes${due === undefined ? '' : `, not ${due}`}`);
    const digest = record.saved?.digests?.[file];
    if (digest !== undefined) await verifyMemory(host, join(directory, file), digest);
  }
}

async function verifyMemory({ integrity }: HostSetup, path: string, digest: string): Promise<void> {
  try {
    await integrity.verify(path, digest);
  } catch (error) {
    if (error instanceof FileDamaged) throw new MemoryLost(error.message, { cause: error });
    throw error;
  }
}

/** Starts a machine with its memory. A failure of the host says nothing about the memory: the next try may succeed. */
async function startWithMemory(runner: Runner, run: Run, devices: string): Promise<Machine> {
  try {
    return await runner.restore(run, devices);
  } catch (error) {
    const late = error instanceof QmpTimeout || (error as Error).cause instanceof QmpTimeout;
    if (late || systemErrorCode(error) !== undefined) throw error;
    throw new MemoryLost((error as Error).message, { cause: error });
  }
}

/**
 * Wakes a hibernated machine with its memory. The record says that it runs before it does. From then on the memory on
 * disk is out of date and never used again; it is deleted once the guest has answered or QEMU has ended.
 * @param here what machines of this host are compatible with
 * @throws MemoryLost when its memory is damaged or not compatible with this host
 * @throws Error when it cannot be restored now; it is still hibernated then
 */
async function wakeMachine(
  runner: Runner,
  { directory, record }: Sleeper,
  here: Compatibility,
): Promise<Started> {
  const { host } = runner;
  await using stack = new AsyncDisposableStack();
  const memory = hibernationDirectory(directory);
  await checkMemory(host, memory, record, here);
  const slot = await host.network.claim();
  stack.defer(() => host.network.release(slot));
  await prepareRun(directory, record, slot);
  await linkMemory(runDirectory(directory, record.run), join(memory, snapshotFiles.ram));

  await atStep('wake:linked', record.id);

  const woken = startedAgain(record, { slot, from: 'memory' });
  const run = { directory, record: woken, slot, gate: new Gate() };
  const machine = await startWithMemory(runner, run, join(memory, snapshotFiles.devices));
  stack.defer(() => endProcess(machine.process.identity));
  stack.defer(() => machine.expectEnd());
  await atStep('wake:loaded', record.id);
  machine.assertAlive();
  await machine.save({});
  stack.move();
  await atStep('wake:recorded', record.id);
  // From here on its state is in the process alone: it is never undone, however slow it is.
  const place = { step: 'wake:answered', id: record.id } as const;
  const answered = untilAnswered(begin(machine, 'snapshot'), place, () =>
    discardDirectory(memory, host.trash),
  );
  answered.catch(() => undefined);
  return { machine, answered };
}

/** Wakes a hibernated machine with its memory, or boots it from its disk where that cannot be restored. */
export async function wakeOrBoot(runner: Runner, sleeper: Sleeper, here: Compatibility): Promise<Started> {
  const { process } = sleeper.record;
  // It could not be ended when the machine was hibernated, and it still has the disk open.
  if (process !== undefined && isSameProcess(process)) await endProcess(process);
  try {
    return await wakeMachine(runner, sleeper, here);
  } catch (error) {
    if (!(error instanceof MemoryLost)) throw error;
    const { id } = sleeper.record;
    runner.host.log.error({ machine: id, err: error }, 'memory could not be restored; booting from disk');
    return bootMachine(runner, sleeper, `its memory could not be restored: ${error.message}`);
  }
}
