import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import type { TestMachine } from './test-machine.ts';

const path = '/root/workload.py';
/** The three that work, and the one that waits for them. */
const processes = 4;

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
  await machine.output(`setsid python3 ${path} run >/root/workload.out 2>&1 </dev/null &`);
  await eventually('the workload works', async () => {
    const { files, rows, links } = await workOf(machine);
    return files > 0 && rows > 0 && links > 0;
  });
}

/** Asks the workload. @throws Error when something was wrong, or one of its processes does not run */
export async function workOf(machine: TestMachine): Promise<Work> {
  const told = await machine.output(
    'cat /dev/shm/workload.broken 2>/dev/null; pgrep -fc "[w]orkload.py run"; ' +
      'for name in files rows links; do cat /dev/shm/workload.$name 2>/dev/null || echo 0; done',
  );
  const [running, files, rows, links] = told.split('\n').map(Number);
  if (running !== processes) throw new Error(`the workload is broken: ${told}`);
  return { files: files ?? 0, rows: rows ?? 0, links: links ?? 0 };
}

/** Waits until each process of the workload has gone on after `before`. */
export async function worksOn(machine: TestMachine, before: Work): Promise<void> {
  await eventually('the workload goes on', async () => {
    const { files, rows, links } = await workOf(machine);
    return files > before.files && rows > before.rows && links > before.links;
  });
}

/** Reads all files and rows back from the disk and checks them; what was told `before` must be there. */
export async function checkWork(machine: TestMachine, before: Work): Promise<void> {
  await machine.output(
    `sync; echo 3 > /proc/sys/vm/drop_caches; python3 ${path} check ${before.files} ${before.rows}`,
  );
}
