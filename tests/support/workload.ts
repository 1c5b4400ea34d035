import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@opencomputer/testing/eventually';
import type { TestMachine } from './test-machine.ts';

const path = '/root/workload.py';
const port = 7411;

/** What the workload of a machine has done for certain. */
export interface Work {
  /** Files that are written, of which the newest are there. */
  files: number;
  /** Rows that are committed. */
  rows: number;
  /** Links of a chain in memory that were looked at. */
  links: number;
}

/** Starts the workload in a machine. */
export async function startWorkload(machine: TestMachine): Promise<void> {
  await machine.write(path, await readFile(join(import.meta.dirname, 'workload.py')));
  await machine.output(`setsid python3 ${path} >/root/workload.out 2>&1 </dev/null &`);
  await eventually('the workload works', () => workOf(machine));
}

/** Asks the workload. @throws Error when something was wrong, or it has not begun */
export async function workOf(machine: TestMachine): Promise<Work> {
  const told = await machine.output(
    'cd /dev/shm && cat workload.broken 2>/dev/null; cat workload.files workload.rows workload.links',
  );
  const [files = NaN, rows = NaN, links = NaN, more] = told.split('\n').map(Number);
  if (!(files > 0 && rows > 0 && links > 0 && more === undefined))
    throw new Error(`the workload is broken: ${told}`);
  return { files, rows, links };
}

/** Waits until each process of the workload has gone on after `before`. */
export async function worksOn(machine: TestMachine, before: Work): Promise<void> {
  await eventually('the workload goes on', async () => {
    const { files, rows, links } = await workOf(machine);
    return files > before.files && rows > before.rows && links > before.links;
  });
}

/**
 * Has all files and rows read back from the disk and checked; what was told `before` must be there.
 * @param paths of further files, without blanks
 * @returns MD5 of each of those, as they are on the disk and not in the guest's page cache
 * @throws Error with what is wrong
 */
export async function checkWork(
  machine: TestMachine,
  before: Work,
  paths: readonly string[] = [],
): Promise<string[]> {
  const question = [`${before.files} ${before.rows}`, ...paths].join('\n');
  const told = await machine.output(
    `exec 3<>/dev/tcp/127.0.0.1/${port}; printf '%s\\n%s' ${Buffer.byteLength(question)} '${question}' >&3; cat <&3`,
  );
  const [verdict, ...sums] = told.split('\n');
  if (verdict !== 'right') throw new Error(`the workload found its work wrong: ${told}`);
  return sums;
}
