import { existsSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { systemErrorCode } from '../host/errors.ts';
import { endProcessesOf } from '../qemu/process.ts';
import { machinePrefix } from '../qemu/setup.ts';
import { watchSteps } from './steps.ts';

/** How often a held step checks whether it may go on. */
const lookAgainMs = 10;

/**
 * Lets tests end the worker or a machine at a chosen step. The file holds a step and what is to happen there, once:
 *
 *     hibernate:stopped worker    this process is killed
 *     hibernate:stopped machine   the QEMU processes of the machine are killed
 *     hibernate:stopped full      the next write of the step fails, as on a full disk
 *     hibernate:stopped hold      the step waits: the file is renamed to end in `.held`, until that is removed
 *
 * The file is removed before it happens.
 */
export function injectFaults(file: string, instanceTag: string): void {
  watchSteps(async (step, machine) => {
    const [at, fault] = (await readFault(file)).split(/\s+/);
    if (at !== step) return;
    const held = `${file}.held`;
    if (fault === 'hold') {
      await rename(file, held);
      while (existsSync(held)) await delay(lookAgainMs);
      return;
    }
    await rm(file);
    if (fault === 'worker') process.kill(process.pid, 'SIGKILL');
    else if (fault === 'machine') await endProcessesOf(machinePrefix(instanceTag, machine));
    else if (fault === 'full')
      throw Object.assign(new Error('ENOSPC: no space left on device, as a test asked for'), {
        code: 'ENOSPC',
      });
    else throw new Error(`${file} asks for an unknown fault: ${fault}`);
  });
}

async function readFault(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  }
}
