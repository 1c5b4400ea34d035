import { join } from 'node:path';
import { isSameProcess, type ProcessIdentity } from '../host/processes.ts';
import { machineFiles } from './argv.ts';
import { runDirectory } from './directory.ts';
import { Machine } from './machine.ts';
import type { Platform } from './platform.ts';
import { Qmp } from './qmp.ts';
import type { MachineRecord } from './record.ts';

const monitorMs = 10_000;

/**
 * Takes over a machine that a predecessor of this worker started and that still runs.
 * @throws Error when its monitor or its network cannot be had; the machine runs on
 */
export async function adoptMachine(
  platform: Platform,
  machine: { directory: string; record: MachineRecord; process: ProcessIdentity },
  onEnd: (machine: Machine, reason: string) => void,
): Promise<Machine> {
  const { directory, record, process } = machine;
  const slot = await platform.network.adopt(record.slot);
  const qmp = await Qmp.connect(join(directory, runDirectory, machineFiles.qmp), monitorMs, () =>
    isSameProcess(process),
  );
  const launched = { process: { identity: process, child: undefined }, qmp };
  const adopted = new Machine({ directory, record, slot, launched, log: platform.log }, onEnd);
  await adopted.lookForFullDisk();
  return adopted;
}
