import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@opencomputer/testing/eventually';
import type { TestMachine } from './test-machine.ts';

const program = join(import.meta.dirname, 'witness.pl');

/** What a witness has done so far. */
export interface Testimony {
  /** Numbers that went over the connection and back. */
  count: number;
  /** The last number that is on disk for certain. */
  synced: number;
}

/** Prints what the witness has told. In the shell itself: each program that an emulated guest starts takes long. */
const tell =
  'cd /dev/shm; [ ! -e broken ] || cat broken; read -r count < count; read -r synced < synced; printf "%s\\n" "$count" "$synced"';

/** Prints the last number of the file on disk, or what is wrong with it: every fifth, in order, without a gap. */
const readLog = `awk '$1 != NR * 5 || NF != 1 { print "line " NR " is " $0; wrong = 1; exit } END { if (!wrong) print $1 }' /var/lib/witness.log`;

/** Starts a witness in a machine: `witness.pl`. */
export async function startWitness(machine: TestMachine): Promise<void> {
  await machine.write('/root/witness.pl', await readFile(program));
  await machine.output(
    'rm -f /var/lib/witness.log; setsid perl /root/witness.pl >/root/witness.out 2>&1 </dev/null &',
  );
  await eventually('the witness counts', () => testimony(machine));
}

/** Asks the witness. @throws Error when it saw something wrong, or this memory has none */
export async function testimony(machine: TestMachine): Promise<Testimony> {
  return readTestimony(await machine.output(tell));
}

function readTestimony(text: string): Testimony {
  const [count = NaN, synced = NaN, more] = text.split('\n').map(Number);
  if (!(count > 0 && synced > 0 && more === undefined)) throw new Error(`the witness is broken: ${text}`);
  return { count, synced };
}

/** Waits until the witness has gone on after `before`, and checks that its file on disk has every number up to there. */
export async function goesOn(machine: TestMachine, before: Testimony): Promise<Testimony> {
  const { log, ...after } = await eventually('the witness goes on', async () => {
    const text = await machine.output(`${tell}; ${readLog}`);
    const end = text.lastIndexOf('\n');
    const now = { ...readTestimony(text.slice(0, end)), log: text.slice(end + 1) };
    return now.count > before.count && now.synced >= before.synced ? now : undefined;
  });
  expectLog(log, before.synced);
  return after;
}

/** Checks that the file on disk has every fifth number, in order, without a gap, at least to `synced`. */
export async function checkLog(machine: TestMachine, synced: number): Promise<void> {
  expectLog(await machine.output(readLog), synced);
}

function expectLog(log: string, synced: number): void {
  if (!(Number(log) >= synced)) throw new Error(`the disk ends at ${log}, but ${synced} had been synced`);
}
