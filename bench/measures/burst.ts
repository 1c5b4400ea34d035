import { atMost, compare, type Finding } from '../finding.ts';
import type { BareMachine } from '../bare-machine.ts';
import { availableMB, privateMB } from '../host.ts';
import type { Sandbox } from '../../packages/sdk/src/index.ts';
import { summarize } from '../statistics.ts';
import { runDirectly, runInSandbox } from './commands.ts';
import { type Context, timed } from './context.ts';

const atOnce = 50;
const quickAtOnce = 10;

interface Burst {
  /** Milliseconds until the last was created, and had answered its first command. */
  created: number;
  usable: number;
  failures: unknown[];
  privateMB: number;
  takenMB: number;
}

interface Kind<Machine> {
  create(): Promise<Machine>;
  use(machine: Machine): Promise<void>;
  end(machine: Machine): Promise<void>;
  pids(machines: readonly Machine[]): number[];
}

async function burst<Machine>(kind: Kind<Machine>, count: number): Promise<Burst> {
  const before = await availableMB();
  const machines: Machine[] = [];
  const failures: unknown[] = [];
  let created = 0;
  const started = performance.now();
  const one = async (): Promise<void> => {
    try {
      const machine = await kind.create();
      machines.push(machine);
      created = performance.now() - started;
      await kind.use(machine);
    } catch (error) {
      failures.push(error);
    }
  };
  const { ms: usable } = await timed(() => Promise.all(Array.from({ length: count }, one)));
  try {
    const amounts = await Promise.all(kind.pids(machines).map(privateMB));
    return {
      created,
      usable,
      failures,
      privateMB: amounts.length === 0 ? 0 : summarize(amounts).median,
      takenMB: before - (await availableMB()),
    };
  } finally {
    await Promise.all(machines.map((machine) => kind.end(machine)));
  }
}

/** Many creates at once. */
export async function measureBurst({ platform, bare, options, say }: Context): Promise<Finding[]> {
  const count = options.quick ? quickAtOnce : atOnce;
  say(`${count} creates at once`);
  await platform.rest();
  const ours = await burst<Sandbox>(
    {
      create: () => platform.createSandbox(),
      use: (sandbox) => runInSandbox(sandbox, 'echo hello', 'hello\n'),
      end: (sandbox) => sandbox.kill(),
      pids: (sandboxes) => platform.pidsOf(sandboxes),
    },
    count,
  );
  say(`${count} bare restores at once`);
  await bare.prepare(count);
  await platform.rest();
  const floor = await burst<BareMachine>(
    {
      create: () => bare.start(),
      use: ({ channel }) => runDirectly(channel, 'echo hello', 'hello\n'),
      end: (machine) => machine.end(),
      pids: (machines) => machines.map(({ pid }) => pid),
    },
    count,
  );
  const why = ours.failures.slice(0, 3).map(String).join('; ');
  const group = 'burst';
  const name = `${count} creates at once`;
  return [
    compare({ group, name: `${name}, all created`, unit: 'ms' }, [ours.created], [floor.created]),
    compare({ group, name: `${name}, all used`, unit: 'ms' }, [ours.usable], [floor.usable]),
    compare(
      { group, name: `${name}, failed`, unit: 'failures', ...(why === '' ? {} : { notes: { why } }) },
      [ours.failures.length],
      [floor.failures.length],
      atMost(0, 'failures'),
    ),
    compare(
      { group, name: `${name}, private memory of each`, unit: 'MB' },
      [ours.privateMB],
      [floor.privateMB],
    ),
    compare({ group, name: `${name}, memory taken in all`, unit: 'MB' }, [ours.takenMB], [floor.takenMB]),
  ];
}
