import { isSameProcess, kill } from '@opencomputer/worker/processes';
import { test } from 'vitest';
import { counterOf, startCounter } from '../support/counter.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { TestPlatform } from '../support/platform.ts';

// Each with a platform of its own, since nearly all of the time is spent waiting.
test.concurrent.for(['worker', 'server'] as const)(
  'a %s that stands still is killed and started again, and machines go on',
  async (name, { expect, onTestFinished }) => {
    const platform = await TestPlatform.start({ env: { OPENCOMPUTER_WARM_NETWORKS: '1' } });
    onTestFinished(() => platform.destroy());
    const sandbox = await platform.api.create();
    await startCounter(sandbox);
    const machine = platform.machines().get(sandbox.id);
    const part = platform.part(name);
    if (part === undefined) throw new Error(`the ${name} does not run`);
    kill(part, 'SIGSTOP');
    await eventually('it is killed', () => !isSameProcess(part), { withinMs: 240_000 });
    await platform.ready();
    expect(platform.log).toContain(
      `the ${name} does not work any more: its event loop has not answered for 30 s`,
    );
    expect(platform.machines().get(sandbox.id)).toEqual(machine);
    const before = await counterOf(sandbox);
    await eventually('the process inside counts on', async () => (await counterOf(sandbox)) > before);
  },
);
