import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { copyRamImage, dirtyRuns, findMapping, saveDirtyPages, syncFile } from '@opencomputer/worker/bench';
import { type BareMachine, quiet } from '../bare-machine.ts';
import { compare, type Finding } from '../finding.ts';
import { type Context, timed } from './context.ts';
import { use } from './usage.ts';

const memoryMB = 512;
const pageBytes = 4096;

interface Image {
  saveMs: number;
  /** While the machine is paused. */
  stoppedMs: number;
  /** What is to be done with the image before a machine can start from it. */
  applyMs: number;
  occupiedMB: number;
}

async function occupiedMB(path: string): Promise<number> {
  return ((await stat(path)).blocks * 512) / 1024 / 1024;
}

/** A copy of the whole image, and the changed pages over it. */
async function whole({ pid, image }: BareMachine, target: string): Promise<Image> {
  const { ms: copyMs } = await timed(() => copyRamImage(image, target));
  const { ms: stoppedMs } = await timed(() => saveDirtyPages(pid, image, target));
  const { ms: syncMs } = await timed(() => syncFile(target));
  const saveMs = copyMs + stoppedMs + syncMs;
  return { saveMs, stoppedMs, applyMs: 0, occupiedMB: await occupiedMB(target) };
}

/** Writes pages of a process's memory from a file that has them at the same places. */
async function apply({ pid, image }: BareMachine, source: string): Promise<void> {
  const { ino: inode, size } = await stat(image);
  const mapping = findMapping(await readFile(`/proc/${pid}/maps`, 'latin1'), { inode, size });
  if (mapping === undefined) throw new Error(`process ${pid} does not map ${image}`);
  await using stack = new AsyncDisposableStack();
  const [pagemap, memory, from] = await Promise.all([
    open(`/proc/${pid}/pagemap`, 'r'),
    open(`/proc/${pid}/mem`, 'r+'),
    open(source, 'r'),
  ]);
  for (const file of [pagemap, memory, from]) stack.defer(() => file.close());
  const entries = Buffer.alloc((size / pageBytes) * 8);
  await pagemap.read(entries, 0, entries.length, (mapping.start / pageBytes) * 8);
  for (const [page, count] of dirtyRuns(entries)) {
    const part = Buffer.alloc(count * pageBytes);
    await from.read(part, 0, part.length, page * pageBytes);
    await memory.write(part, 0, part.length, mapping.start + page * pageBytes);
  }
}

/** The changed pages alone; to restore them they are written into the memory of the process that has the old ones. */
async function difference(machine: BareMachine, target: string): Promise<Image> {
  const { pid, image } = machine;
  const file = await open(target, 'wx');
  await file.truncate((await stat(image)).size);
  await file.close();
  const { ms: stoppedMs } = await timed(() => saveDirtyPages(pid, image, target));
  const { ms: syncMs } = await timed(() => syncFile(target));
  const { ms: applyMs } = await timed(() => apply(machine, target));
  return { saveMs: stoppedMs + syncMs, stoppedMs, applyMs, occupiedMB: await occupiedMB(target) };
}

/** Two ways to keep the memory of a lightly used machine: the whole image, or what it changed of it. */
export async function measureImage({ platform, bare, options, say }: Context): Promise<Finding[]> {
  await using stack = new AsyncDisposableStack();
  const host = await bare.withMemory(memoryMB);
  const machine = await host.start();
  stack.defer(() => machine.end());
  await use.floor(machine);
  await quiet(machine);
  await machine.launched.qmp.run('stop', {}, 60_000);
  const directory = platform.scratch('images');
  await mkdir(directory);
  const samples: Record<'whole' | 'difference', Image[]> = { whole: [], difference: [] };
  for (let round = -1; round < options.runs; round++) {
    say(`memory images: ${round + 1} of ${options.runs}`);
    for (const [name, way] of [
      ['whole', whole],
      ['difference', difference],
    ] as const) {
      const target = join(directory, name);
      await rm(target, { force: true });
      const sample = await way(machine, target);
      if (round >= 0) samples[name].push(sample);
    }
  }
  const group = 'image';
  const row = (what: string, unit: 'ms' | 'MB', value: (image: Image) => number): Finding =>
    compare(
      { group, name: `${what}: whole image; floor: difference`, unit },
      samples.whole.map(value),
      samples.difference.map(value),
    );
  return [
    row('save memory', 'ms', ({ saveMs }) => saveMs),
    row('stand still', 'ms', ({ stoppedMs }) => stoppedMs),
    row('make it restorable', 'ms', ({ applyMs }) => applyMs),
    row('disk', 'MB', ({ occupiedMB: megabytes }) => megabytes),
  ];
}
