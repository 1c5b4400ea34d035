import { Readable } from 'node:stream';
import type { Sandbox } from '../../packages/sdk/src/index.ts';
import { readFile, removePath, writeFile } from '@opencomputer/worker/bench';
import { atLeastShare, atMost, compare, type Finding } from '../finding.ts';
import type { BareMachine } from '../bare-machine.ts';
import { processorMs } from '../host.ts';
import { content, drain } from './content.ts';
import { type Context, timed } from './context.ts';
import { measureRawPort } from './raw-port.ts';
import { GrowthWatch } from './resident.ts';

const path = '/home/sandbox/bench.bin';
const mebibyte = 1024 * 1024;
const small = { megabytes: 64, rounds: 5 };
const large = { megabytes: 1024, rounds: 2 };
const grownMB = 64;

interface Way {
  up(megabytes: number): Promise<void>;
  down(megabytes: number): Promise<void>;
  remove(): Promise<void>;
}

function throughPlatform({ files }: Sandbox): Way {
  return {
    up: (megabytes) => files.write(path, content(megabytes)),
    down: async (megabytes) => drain(await files.readStream(path), megabytes),
    remove: () => files.remove(path),
  };
}

function throughAgent({ channel }: BareMachine): Way {
  const signal = new AbortController().signal;
  return {
    up: (megabytes) =>
      writeFile(channel, path, Readable.from(content(megabytes), { objectMode: false }), {
        length: megabytes * mebibyte,
        signal,
      }),
    down: async (megabytes) => drain((await readFile(channel, path, signal)).stream, megabytes),
    remove: () => removePath(channel, path),
  };
}

interface Throughput {
  up: number[];
  down: number[];
}

/** One round of a file: up, down, away. Adds MB/s. */
async function transfer(way: Way, megabytes: number, throughput: Throughput): Promise<void> {
  for (const direction of ['up', 'down'] as const) {
    const { ms } = await timed(() => way[direction](megabytes));
    throughput[direction].push(megabytes / (ms / 1000));
  }
  await way.remove();
}

/** Processor time that each process spends on one MB of a file, in milliseconds: where the time of `ours` goes. */
async function processorPerMB(
  way: Way,
  megabytes: number,
  pids: Readonly<Record<string, number>>,
): Promise<Record<'up' | 'down', string>> {
  const texts = { up: '', down: '' };
  const read = (): Promise<number[]> => Promise.all(Object.values(pids).map(processorMs));
  for (const direction of ['up', 'down'] as const) {
    const before = await read();
    await way[direction](megabytes);
    const after = await read();
    texts[direction] = Object.keys(pids)
      .map((name, index) => {
        const spent = (after[index] ?? 0) - (before[index] ?? 0);
        return `${name} ${(spent / megabytes).toFixed(1)}`;
      })
      .join(', ');
  }
  await way.remove();
  return texts;
}

interface Ways {
  ours: Way;
  floor: Way;
}

async function measureSize(
  ways: Ways,
  size: { megabytes: number; rounds: number },
  say: Context['say'],
): Promise<Finding[]> {
  const ours: Throughput = { up: [], down: [] };
  const floor: Throughput = { up: [], down: [] };
  for (let round = 0; round < size.rounds; round++) {
    say(`files of ${size.megabytes} MB: ${round + 1} of ${size.rounds}`);
    await transfer(ways.ours, size.megabytes, ours);
    await transfer(ways.floor, size.megabytes, floor);
  }
  return (['up', 'down'] as const).map((way) =>
    compare(
      { group: 'files', name: `file of ${size.megabytes} MB ${way}`, unit: 'MB/s' },
      ours[way],
      floor[way],
      atLeastShare(0.7),
    ),
  );
}

/** Files up and down, and what that takes of memory in server and worker. */
export async function measureFiles(context: Context): Promise<Finding[]> {
  const { platform, bare, options, say } = context;
  await using stack = new AsyncDisposableStack();
  const sandbox = await platform.createSandbox();
  stack.defer(() => sandbox.kill());
  const machine = await bare.start();
  stack.defer(() => machine.end());
  const ways: Ways = { ours: throughPlatform(sandbox), floor: throughAgent(machine) };
  // Connections, code and buffers are warm from here on.
  for (const way of [ways.ours, ways.floor]) await transfer(way, small.megabytes, { up: [], down: [] });
  await platform.rest();

  const machinePid = platform.processes().get(sandbox.sandboxId)?.pid;
  const spent = {
    ours: await processorPerMB(ways.ours, small.megabytes, {
      client: process.pid,
      ...platform.pids,
      ...(machinePid === undefined ? {} : { QEMU: machinePid }),
    }),
    floor: await processorPerMB(ways.floor, small.megabytes, { client: process.pid, QEMU: machine.pid }),
  };
  const findings = await measureSize(ways, { ...small, rounds: options.quick ? 2 : small.rounds }, say);
  for (const [index, direction] of (['up', 'down'] as const).entries()) {
    const finding = findings[index];
    if (finding !== undefined)
      finding.notes = {
        'processor ms per MB of ours': spent.ours[direction],
        'processor ms per MB of the floor': spent.floor[direction],
      };
  }
  if (!options.quick) {
    const watch = await GrowthWatch.start(platform.pids);
    findings.push(...(await measureSize(ways, large, say)));
    const growth = watch.stop();
    findings.push(
      ...Object.entries(growth).map(([name, megabytes]) =>
        compare(
          { group: 'files', name: `growth of the ${name} during files of 1 GB`, unit: 'MB' },
          [megabytes],
          [],
          atMost(grownMB, 'MB'),
        ),
      ),
    );
  }
  findings.push(...(await measureRawPort(bare, say)));
  return findings;
}
