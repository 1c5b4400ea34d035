import { Sandbox } from '../../packages/sdk/src/index.ts';
import { atMostTimes, compare, type Finding } from '../finding.ts';
import { privateMB } from '../host.ts';
import { runInSandbox } from './commands.ts';
import { type Context, timed } from './context.ts';
import { settle } from './memory.ts';
import { use } from './usage.ts';

const atOnce = 10;
const live = 20;
const quickLive = 5;
const memoryMB = 512;

async function killAll(sandboxes: readonly Sandbox[]): Promise<void> {
  await Promise.all(sandboxes.map((sandbox) => sandbox.kill()));
}

/** Private memory of sandboxes that have nothing to do. */
async function privateMemory({ platform }: Context, sandboxes: readonly Sandbox[]): Promise<number[]> {
  for (const sandbox of sandboxes) await runInSandbox(sandbox, 'echo hello', 'hello\n');
  const pids = platform.pidsOf(sandboxes);
  await settle(pids);
  return Promise.all(pids.map(privateMB));
}

/** Forks of one ready checkpoint beside creates from the template: both are restores. */
export async function measureFork(context: Context): Promise<Finding[]> {
  const { platform, options, say } = context;
  await using stack = new AsyncDisposableStack();
  const shape = { memoryMB, timeout: 0 };
  const origin = await platform.createSandbox(shape);
  stack.defer(() => origin.kill());
  await use.ours(origin);
  const { id } = await origin.createCheckpoint('ready');
  stack.defer(() => origin.deleteCheckpoint(id));
  const fork = (count: number): Promise<Sandbox[]> =>
    Sandbox.fork(id, { ...platform.connection, count, timeout: 0 });

  const times: Record<'fork' | 'create' | 'many', number[]> = { fork: [], create: [], many: [] };
  for (let round = -1; round < options.runs; round++) {
    say(`fork: ${round + 1} of ${options.runs}`);
    for (const [name, make] of [
      ['fork', () => fork(1)],
      ['create', async () => [await platform.createSandbox(shape)]],
      ['many', () => fork(atOnce)],
    ] as const) {
      // Ten at a time take long; a quarter of the rounds says as much.
      if (name === 'many' && round % 4 !== 0) continue;
      await platform.rest();
      const { result, ms } = await timed(make);
      await killAll(result);
      if (round >= 0) times[name].push(ms);
    }
  }

  const count = options.quick ? quickLive : live;
  say(`memory of ${count} forks, and of as many sandboxes`);
  const forks = await fork(count);
  stack.defer(() => killAll(forks));
  const ours = await privateMemory(context, forks);
  await killAll(forks);
  const creates: Sandbox[] = [];
  stack.defer(() => killAll(creates));
  for (let index = 0; index < count; index++) creates.push(await platform.createSandbox(shape));
  const floor = await privateMemory(context, creates);

  const group = 'fork';
  return [
    compare(
      { group, name: 'fork of a ready checkpoint; floor: create', unit: 'ms' },
      times.fork,
      times.create,
      atMostTimes(1.2),
    ),
    compare(
      { group, name: `${atOnce} forks at once; floor: one`, unit: 'ms' },
      times.many,
      times.fork,
      atMostTimes(6),
    ),
    compare(
      { group, name: `private memory of ${count} forks; floor: creates`, unit: 'MB' },
      ours,
      floor,
      atMostTimes(1.2),
    ),
  ];
}
