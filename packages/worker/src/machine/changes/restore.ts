import { join } from 'node:path';
import { discardDirectory } from '../../disk/trash.ts';
import { machineFiles } from '../../qemu/argv.ts';
import { endProcess } from '../../qemu/process.ts';
import { runDirectory } from '../../qemu/run-directory.ts';
import type { HostSetup } from '../../qemu/setup.ts';
import { snapshotFiles } from '../../snapshots/manifest.ts';
import { Gate } from '../gate.ts';
import type { Machine } from '../machine.ts';
import { type MachineRecord, startedAgain } from '../record.ts';
import { atStep } from '../steps.ts';
import { layOutRun } from './create.ts';
import { hibernationDirectory } from './hibernate.ts';
import { type Origin, startsFrom } from './origins.ts';
import { begin, type Runner, type Started, untilAnswered, waitUntilBooted } from './runner.ts';

/**
 * Puts a machine back to a snapshot; it keeps its identity. The new run is prepared beside the old one and replaces it
 * in one durable step; only then is the old one ended.
 * @param before the machine as it is, running or not
 * @throws Error when the snapshot cannot be started; everything is as it was
 */
export async function restoreMachine(
  runner: Runner,
  before: { directory: string; record: MachineRecord; running: Machine | undefined },
  origin: Origin,
): Promise<Started> {
  const { host } = runner;
  const { directory, record, running } = before;
  await using stack = new AsyncDisposableStack();
  const slot = await host.network.claim();
  stack.defer(() => host.network.release(slot));
  const number = record.run + 1;
  const run = runDirectory(directory, number);
  await discardDirectory(run, host.trash);
  stack.defer(() => discardDirectory(run, host.trash));
  const { layers, durable } = await layOutRun(host, run, origin, { diskMB: record.spec.diskMB, slot });

  await atStep('restore:files', record.id);
  const from = startsFrom(origin);
  const next: MachineRecord = {
    ...startedAgain(record, { slot, from, coldBootReason: origin.coldBootReason }),
    run: number,
    layers,
    top: machineFiles.disk,
    origin: origin.manifest.key,
  };
  const parts = { directory, record: next, slot, gate: new Gate() };
  const machine =
    from === 'disk'
      ? await runner.boot(parts)
      : await runner.restore(parts, join(origin.directory, snapshotFiles.devices));
  stack.defer(() => endProcess(machine.process.identity));
  stack.defer(() => machine.expectEnd());
  await durable;
  await atStep('restore:loaded', record.id);
  machine.assertAlive();
  await machine.save({});
  stack.move();
  await atStep('restore:recorded', record.id);

  if (running !== undefined) await endLastRun(host, running);
  await atStep('restore:ended', record.id);
  const answer = from === 'disk' ? waitUntilBooted(machine) : begin(machine, 'snapshot');
  const answered = untilAnswered(answer, { step: 'restore:answered', id: record.id }, async () => {
    await discardDirectory(runDirectory(directory, record.run), host.trash);
    await discardDirectory(hibernationDirectory(directory), host.trash);
  });
  answered.catch(() => undefined);
  return { machine, answered };
}

/** Ends the process of the last run. The record names the next one, which goes on whatever becomes of this. */
async function endLastRun(host: HostSetup, machine: Machine): Promise<void> {
  machine.expectEnd();
  try {
    await endProcess(machine.process.identity);
    await host.network.release(machine.slot);
  } catch (error) {
    host.log.error(
      { machine: machine.id, err: error },
      'the last run of a restored machine cannot be removed',
    );
  }
}
