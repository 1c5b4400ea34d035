import { quiet, save } from '../bare-machine.ts';
import { atMostTimes, compare, type Finding } from '../finding.ts';
import { runDirectly, runInSandbox } from './commands.ts';
import { type Context, timed } from './context.ts';
import { use } from './usage.ts';

const memoryMB = 512;

/** Hibernate and wake of a lightly used sandbox, beside save and restore of a bare machine in the same use. */
export async function measureHibernate({ platform, bare, options, say }: Context): Promise<Finding[]> {
  await using stack = new AsyncDisposableStack();
  const sandbox = await platform.createSandbox({ memoryMB, timeout: 0 });
  stack.defer(() => sandbox.kill());
  const host = await bare.withMemory(memoryMB);
  let machine = await host.start();
  stack.defer(() => machine.end());
  const times: Record<'hibernate' | 'save' | 'wake' | 'restore', number[]> = {
    hibernate: [],
    save: [],
    wake: [],
    restore: [],
  };
  for (let round = -1; round < options.runs; round++) {
    say(`hibernate and wake: ${round + 1} of ${options.runs}`);
    await use.ours(sandbox);
    await platform.rest();
    const { ms: hibernate } = await timed(() => sandbox.hibernate());
    await platform.rest();
    const { ms: wake } = await timed(async () => {
      await sandbox.wake();
      await runInSandbox(sandbox, 'echo hello', 'hello\n');
    });
    await use.floor(machine);
    await quiet(machine);
    await platform.rest();
    const { saved, ms: saving } = await save(machine);
    await platform.rest();
    const { ms: restore } = await timed(async () => {
      machine = await host.wake(saved);
      await runDirectly(machine.channel, 'echo hello', 'hello\n');
    });
    if (round < 0) continue;
    times.hibernate.push(hibernate);
    times.save.push(saving);
    times.wake.push(wake);
    times.restore.push(restore);
  }
  const group = 'hibernate';
  return [
    compare(
      { group, name: `hibernate ${memoryMB} MB`, unit: 'ms' },
      times.hibernate,
      times.save,
      atMostTimes(1.5),
    ),
    compare(
      { group, name: `wake ${memoryMB} MB to first output`, unit: 'ms' },
      times.wake,
      times.restore,
      atMostTimes(1.3),
    ),
  ];
}
