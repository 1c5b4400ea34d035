import type { Sandbox } from '../../packages/sdk/src/index.ts';
import { atMostTimes, compare, type Finding } from '../finding.ts';
import { runInSandbox } from './commands.ts';
import { type Context, timed } from './context.ts';

const many = 100;
const quickMany = 20;
/** The first and the last so many are compared, since one alone says little. */
const sampled = 10;
const quickSampled = 4;
const commandRounds = 40;
/** Full ones that are kept; the limit is 10. */
const keptFull = 5;
const memoryMB = 512;

/** Times of a command in two sandboxes, in turns, so that whatever else the host does hits both. */
async function commandTimes(ours: Sandbox, floor: Sandbox): Promise<{ ours: number[]; floor: number[] }> {
  const times: { ours: number[]; floor: number[] } = { ours: [], floor: [] };
  for (let round = -3; round < commandRounds; round++)
    for (const [name, sandbox] of Object.entries({ ours, floor }) as ['ours' | 'floor', Sandbox][]) {
      const { ms } = await timed(() =>
        runInSandbox(sandbox, 'cat /etc/hostname > /dev/null; echo hello', 'hello\n'),
      );
      if (round >= 0) times[name].push(ms);
    }
  return times;
}

async function measureKind(kind: 'full' | 'disk_only', context: Context): Promise<Finding[]> {
  const { platform, options, say } = context;
  const count = options.quick ? quickMany : many;
  const share = options.quick ? quickSampled : sampled;
  await using stack = new AsyncDisposableStack();
  const sandbox = await platform.createSandbox({ memoryMB, timeout: 0 });
  stack.defer(() => sandbox.kill());
  // Of the same age, and without a checkpoint.
  const twin = await platform.createSandbox({ memoryMB, timeout: 0 });
  stack.defer(() => twin.kill());
  const kept: string[] = [];
  stack.defer(async () => {
    for (const id of kept) await sandbox.deleteCheckpoint(id);
  });
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    if (index % 10 === 0) say(`checkpoints, ${kind}: ${index} of ${count}`);
    // Something for the layer to hold.
    const write = `head -c 256K /dev/urandom > ~/data-${index}; echo done`;
    for (const each of [sandbox, twin]) await runInSandbox(each, write, 'done\n');
    const { result, ms } = await timed(() => sandbox.createCheckpoint(`${kind}-${index}`, { kind }));
    times.push(ms);
    kept.push(result.id);
    if (kind === 'full' && kept.length > keptFull) {
      const oldest = kept.shift();
      if (oldest !== undefined) await sandbox.deleteCheckpoint(oldest);
    }
  }
  await platform.rest();
  const commands = await commandTimes(sandbox, twin);
  const group = 'checkpoints';
  return [
    compare(
      {
        group,
        name: `${kind} checkpoint, last ${share} of ${count}; floor: first ${share}`,
        unit: 'ms',
      },
      times.slice(-share),
      times.slice(0, share),
      atMostTimes(1.5),
    ),
    compare(
      { group, name: `command after ${count} ${kind}; floor: without`, unit: 'ms' },
      commands.ours,
      commands.floor,
      atMostTimes(1.1),
    ),
  ];
}

/** Many checkpoints one after another on one sandbox. */
export async function measureCheckpoints(context: Context): Promise<Finding[]> {
  return [...(await measureKind('disk_only', context)), ...(await measureKind('full', context))];
}
