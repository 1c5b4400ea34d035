import { join } from 'node:path';
import { discardDirectory } from '../../disk/trash.ts';
import { layOutRun, type Origin } from './create.ts';
import { runDirectory } from '../../qemu/run-directory.ts';
import { Gate } from '../gate.ts';
import { hibernationDirectory } from './hibernate.ts';
import type { Machine } from '../machine.ts';
import { snapshotFiles } from '../../snapshots/manifest.ts';
import { machineFiles } from '../../qemu/argv.ts';
import type { Platform } from '../../qemu/setup.ts';
import { endProcess } from '../../qemu/process.ts';
import { freshRecord, type MachineRecord } from '../record.ts';
import { atStep } from '../steps.ts';
import { begin, type OnEnd, startBooting, startRestored, untilAnswered, waitUntilBooted } from './start.ts';

/**
 * Puts a machine back to a snapshot, under the identity it has. The new run is made ready beside the old one, takes
 * its place in one durable step, and only then does the old one end.
 * @param before the machine as it is: running, or at rest
 * @throws Error when the snapshot cannot be started; everything is as it was
 */
export async function restoreMachine(
  platform: Platform,
  before: { directory: string; record: MachineRecord; running: Machine | undefined },
  origin: Origin,
  onEnd: OnEnd,
): Promise<{ machine: Machine; answered: Promise<void> }> {
  const { directory, record, running } = before;
  await using stack = new AsyncDisposableStack();
  const slot = await platform.network.claim();
  stack.defer(() => platform.network.release(slot));
  const number = record.run + 1;
  const run = runDirectory(directory, number);
  await discardDirectory(run, platform.trash);
  stack.defer(() => discardDirectory(run, platform.trash));
  const { layers, durable } = await layOutRun(platform, run, origin, { diskMB: record.spec.diskMB, slot });

  await atStep('restore:files', record.id);
  const cold = !origin.manifest.memory || origin.coldBootReason !== undefined;
  const next: MachineRecord = {
    ...freshRecord(record),
    run: number,
    layers,
    top: machineFiles.disk,
    origin: origin.manifest.key,
    slot: slot.index,
    uid: slot.uid,
    startedFrom: cold ? 'disk' : 'memory',
    ...(origin.coldBootReason === undefined ? {} : { coldBootReason: origin.coldBootReason }),
  };
  const parts = { directory, record: next, slot, gate: new Gate() };
  const machine = cold
    ? await startBooting(platform, parts, onEnd)
    : await startRestored(platform, parts, join(origin.directory, snapshotFiles.devices), onEnd);
  stack.defer(() => endProcess(machine.process.identity));
  stack.defer(() => machine.expectEnd());
  await durable;
  await atStep('restore:loaded', record.id);
  machine.assertAlive();
  await machine.save({});
  stack.move();
  await atStep('restore:recorded', record.id);

  if (running !== undefined) {
    running.expectEnd();
    await endProcess(running.process.identity);
    await platform.network.release(running.slot);
  }
  await atStep('restore:ended', record.id);
  const answer = cold ? waitUntilBooted(machine) : begin(machine, 'snapshot');
  const answered = untilAnswered(answer, { step: 'restore:answered', id: record.id }, async () => {
    await discardDirectory(runDirectory(directory, record.run), platform.trash);
    await discardDirectory(hibernationDirectory(directory), platform.trash);
  });
  answered.catch(() => undefined);
  return { machine, answered };
}
