import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { isSameProcess } from '../host/processes.ts';
import { machineFiles } from './argv.ts';
import { lastLines } from './log-file.ts';
import { endProcess, type MachineProcess, type ProcessSetup, startProcess } from './process.ts';
import { Qmp, QmpTimeout } from './qmp.ts';

const monitorMs = 30_000;

/** A started QEMU, and the connection to its monitor. */
export interface Launched {
  process: MachineProcess;
  qmp: Qmp;
}

/**
 * Starts QEMU and connects to its monitor. When this fails, no process is left.
 * @throws Error with the last lines that QEMU printed
 */
export async function launch(setup: ProcessSetup): Promise<Launched> {
  const started = await startProcess(setup);
  try {
    const qmp = await Qmp.connect(join(setup.directory, machineFiles.qmp), monitorMs, () =>
      isSameProcess(started.identity),
    );
    return { process: started, qmp };
  } catch (error) {
    await endProcess(started.identity);
    const printed = await lastLines(setup.logFile);
    throw new Error(`QEMU did not start${printed === '' ? '' : `: ${printed}`}`, { cause: error });
  }
}

/** The run state that the monitor reports. */
export async function runState(qmp: Qmp): Promise<string> {
  const answer = (await qmp.run('query-status')) as { status?: unknown };
  return typeof answer.status === 'string' ? answer.status : 'unknown';
}

/** Waits until a restored machine has loaded its device state; it is paused then. @throws Error after the deadline */
export async function waitUntilLoaded(qmp: Qmp, deadlineMs = monitorMs): Promise<void> {
  const end = Date.now() + deadlineMs;
  while ((await runState(qmp)) === 'inmigrate') {
    if (Date.now() >= end) throw new QmpTimeout(`the device state was not loaded within ${deadlineMs} ms`);
    await delay(1);
  }
}
