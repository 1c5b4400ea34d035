import { join } from 'node:path';
import { isSameProcess, type ProcessIdentity } from '../../host/processes.ts';
import { machineFiles } from '../../qemu/argv.ts';
import { runState, waitUntilLoaded } from '../../qemu/launch.ts';
import { Qmp } from '../../qemu/qmp.ts';
import { runDirectory } from '../../qemu/run-directory.ts';
import { assertSocket } from '../../qemu/run-files.ts';
import { Gate } from '../gate.ts';
import type { Machine } from '../machine.ts';
import type { MachineRecord } from '../record.ts';
import { endFlattening } from './flatten.ts';
import { withdrawOverlay } from './next-overlay.ts';
import type { Runner } from './runner.ts';

const monitorMs = 10_000;

/**
 * Takes over a machine that an earlier worker started and that still runs. A machine that was paused for a change goes
 * on.
 * @throws Error when its monitor or its network cannot be reached; the process runs on, without a network
 */
export async function adoptMachine(
  runner: Runner,
  adopted: { directory: string; record: MachineRecord; process: ProcessIdentity },
): Promise<Machine> {
  const { host } = runner;
  const { directory, record, process } = adopted;
  await using stack = new AsyncDisposableStack();
  const slot = await host.network.adopt(record.slot);
  stack.defer(() => host.network.release(slot));
  const run = runDirectory(directory, record.run);
  const socket = join(run, machineFiles.qmp);
  for (const path of [socket, join(run, machineFiles.agent)]) await assertSocket(path);
  const qmp = await Qmp.connect(socket, monitorMs, () => isSameProcess(process));
  stack.defer(() => qmp.close());
  await waitUntilLoaded(qmp);
  await endFlattening({ qmp, id: record.id });
  // A machine that QEMU paused because the host's disk is full is resumed by `FullDiskWatch`.
  const state = await runState(qmp);
  if (state !== 'running' && state !== 'io-error') await qmp.run('cont');
  const launched = { process: { identity: process, child: undefined }, qmp };
  const machine = runner.watch({
    directory,
    record: { ...record, process: { ...process } },
    slot,
    gate: new Gate(),
    launched,
  });
  await withdrawOverlay(machine).catch((error: unknown) =>
    host.log.warn({ machine: machine.id, err: error }, 'an empty layer stays'),
  );
  // Older workers did not record the process.
  if (record.process === undefined) await machine.save({});
  stack.move();
  await machine.lookForFullDisk();
  return machine;
}
