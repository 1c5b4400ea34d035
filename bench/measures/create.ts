import { atMostTimes, compare, type Finding } from '../finding.ts';
import { medians } from '../statistics.ts';
import { runDirectly, runInSandbox } from './commands.ts';
import { type Context, timed } from './context.ts';

interface Sample {
  create: number;
  firstOutput: number;
  phases: Record<string, number>;
}

async function createOurs({ platform }: Context): Promise<Sample> {
  await platform.rest();
  const { result: sandbox, ms: create } = await timed(() => platform.createSandbox());
  try {
    const { ms } = await timed(() => runInSandbox(sandbox, 'echo hello', 'hello\n'));
    const { timings } = await platform.machineInfo(sandbox.sandboxId);
    const inWorker = Object.values(timings).reduce((sum, value) => sum + value, 0);
    return { create, firstOutput: create + ms, phases: { ...timings, 'around it': create - inWorker } };
  } finally {
    await sandbox.kill();
  }
}

async function createBare({ platform, bare }: Context): Promise<Sample> {
  await bare.prepare(1);
  await platform.rest();
  const { result: machine, ms: create } = await timed(() => bare.start());
  try {
    const { ms } = await timed(() => runDirectly(machine.channel, 'echo hello', 'hello\n'));
    return { create, firstOutput: create + ms, phases: machine.phases };
  } finally {
    await machine.end();
  }
}

/** Create, and create to the first output of a command, from the same machines. */
export async function measureCreate(context: Context): Promise<Finding[]> {
  const { options, say } = context;
  const ours: Sample[] = [];
  const floor: Sample[] = [];
  // The first of each reads what is not in the host's page cache yet.
  for (let round = -1; round < options.runs; round++) {
    if (round >= 0) say(`create: ${round + 1} of ${options.runs}`);
    const [one, other] = [await createOurs(context), await createBare(context)];
    if (round < 0) continue;
    ours.push(one);
    floor.push(other);
  }
  const parts = {
    ours: medians(ours.map(({ phases }) => phases)),
    floor: medians(floor.map(({ phases }) => phases)),
  };
  const column = (name: 'create' | 'firstOutput', samples: readonly Sample[]): number[] =>
    samples.map((sample) => sample[name]);
  return [
    compare(
      { group: 'create', name: 'create', unit: 'ms', parts },
      column('create', ours),
      column('create', floor),
      atMostTimes(1.3),
    ),
    compare(
      { group: 'create', name: 'create to first output', unit: 'ms' },
      column('firstOutput', ours),
      column('firstOutput', floor),
      atMostTimes(1.4),
    ),
    compare(
      { group: 'create', name: 'first command alone', unit: 'ms' },
      ours.map(({ create, firstOutput }) => firstOutput - create),
      floor.map(({ create, firstOutput }) => firstOutput - create),
    ),
  ];
}
