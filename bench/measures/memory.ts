import { setTimeout as delay } from 'node:timers/promises';
import { atMost, compare, type Finding } from '../finding.ts';
import { privateMB, processorMs } from '../host.ts';
import { runDirectly, runInSandbox } from './commands.ts';
import type { Context } from './context.ts';

/** Several, since clean pages of the image count as private to a machine that is alone. */
const machines = 4;
const quickMachines = 3;
const limitMB = 64;
const windowMs = 1000;
const quietMs = 60;
const settleMs = 30_000;

/** Waits until processes use next to no processor time, or long enough. */
export async function settle(pids: readonly number[]): Promise<void> {
  const end = performance.now() + settleMs;
  const spent = async (): Promise<number> =>
    (await Promise.all(pids.map(processorMs))).reduce((sum, value) => sum + value, 0);
  for (let before = await spent(); performance.now() < end;) {
    await delay(windowMs);
    const now = await spent();
    if (now - before <= quietMs * pids.length) return;
    before = now;
  }
}

/** Private memory of machines that have nothing to do. */
export async function measureMemory({ platform, bare, options, say }: Context): Promise<Finding[]> {
  say('memory of idle machines');
  await using stack = new AsyncDisposableStack();
  const count = options.quick ? quickMachines : machines;
  const sandboxes = [];
  const bareMachines = [];
  for (let index = 0; index < count; index++) {
    const sandbox = await platform.createSandbox();
    stack.defer(() => sandbox.kill());
    const machine = await bare.start();
    stack.defer(() => machine.end());
    sandboxes.push(sandbox);
    bareMachines.push(machine);
  }
  const pids = { ours: platform.pidsOf(sandboxes), floor: bareMachines.map(({ pid }) => pid) };
  const read = async (): Promise<{ ours: number[]; floor: number[] }> => {
    await settle([...pids.ours, ...pids.floor]);
    return {
      ours: await Promise.all(pids.ours.map(privateMB)),
      floor: await Promise.all(pids.floor.map(privateMB)),
    };
  };
  const fresh = await read();
  for (const sandbox of sandboxes) await runInSandbox(sandbox, 'echo hello', 'hello\n');
  for (const { channel } of bareMachines) await runDirectly(channel, 'echo hello', 'hello\n');
  const used = await read();
  const name = 'private memory of an idle sandbox';
  return [
    compare({ group: 'memory', name, unit: 'MB' }, fresh.ours, fresh.floor, atMost(limitMB, 'MB')),
    compare({ group: 'memory', name: `${name} after a command`, unit: 'MB' }, used.ours, used.floor),
  ];
}
