import { describe, expect, onTestFinished, test } from 'vitest';
import { deleteNodes, listJobs, liveNode } from '../../qemu/block-nodes.ts';
import { QmpTimeout } from '../../qemu/qmp.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf, until } from '../../testing/scratch.ts';
import { type Step, watchSteps } from '../steps.ts';
import { endFlattening, flattenMachine, shouldFlatten } from './flatten.ts';
import { NextOverlay, withdrawOverlay } from './next-overlay.ts';
import { LayeredMachine } from './testing/layered-machine.ts';

const missing = await missingTools();

/** Bytes per second: slow enough that the job still runs when the test looks. */
const slow = 64 * 1024;

type Run = LayeredMachine['machine']['qmp']['run'];

/** Puts a test between a machine and its monitor. @returns a function that removes it again */
function intercept(layered: LayeredMachine, through: (run: Run) => Run): () => void {
  const { qmp } = layered.machine;
  const run = qmp.run.bind(qmp);
  qmp.run = through(run);
  return () => {
    qmp.run = run;
  };
}

/** Makes flattening slow until the test releases it. @returns a function that makes it quick again */
function slowly(layered: LayeredMachine): () => void {
  return intercept(
    layered,
    (run) => (execute, args, deadlineMs) =>
      run(execute, execute === 'block-stream' ? { ...args, speed: slow } : args, deadlineMs),
  );
}

async function untilConcluded(layered: LayeredMachine): Promise<void> {
  const { qmp } = layered.machine;
  await qmp.run('block-job-set-speed', { device: 'flatten', speed: 0 });
  await until(async () => (await listJobs(qmp)).some(({ status }) => status === 'concluded'));
}

function atSteps(hooks: Partial<Record<Step, () => Promise<void> | void>>): void {
  watchSteps(async (step) => hooks[step]?.());
  onTestFinished(() => watchSteps(undefined));
}

async function deepMachine(): Promise<LayeredMachine> {
  const layered = await LayeredMachine.start();
  while (!shouldFlatten(layered.machine)) {
    await layered.write();
    await layered.addLayer();
  }
  return layered;
}

/** Begins to flatten as `flattenMachine` does, and stops before the end. */
async function leaveBehind({ machine: { qmp } }: LayeredMachine): Promise<void> {
  const device = await liveNode(qmp);
  const layers = { device, 'base-node': 'layer1' };
  await qmp.run('block-stream', { ...layers, 'job-id': 'flatten', 'auto-dismiss': false, speed: slow });
}

/** How every test ends: nothing of the job is left, and further snapshots and flattenings work. */
async function expectSound(layered: LayeredMachine): Promise<void> {
  const { machine } = layered;
  expect(await listJobs(machine.qmp)).toEqual([]);
  await layered.verify();
  await layered.write();
  await layered.addLayer();
  expect(await flattenMachine(machine, new AbortController().signal)).toBe(true);
  expect(machine.record.layers).toHaveLength(2);
  await layered.verify();
  expect(machine.failure).toBeUndefined();
  machine.assertAlive();
}

describe.skipIf(missing !== undefined)('the flattening of a disk', { timeout: 60_000 }, () => {
  test('that ends between the look at it and its cancellation is completed', async () => {
    const layered = await deepMachine();
    const { machine } = layered;
    const quickAgain = slowly(layered);
    const given = new AbortController();
    atSteps({ 'flatten:begun': () => given.abort(), 'abortFlatten:found': () => untilConcluded(layered) });
    expect(await flattenMachine(machine, given.signal)).toBe(true);
    quickAgain();
    expect(machine.record.layers).toHaveLength(2);
    await expectSound(layered);
  });

  test('that is cancelled in time leaves the layers as they were', async () => {
    const layered = await deepMachine();
    const { machine } = layered;
    const quickAgain = slowly(layered);
    const given = new AbortController();
    atSteps({ 'flatten:begun': () => given.abort() });
    const { layers } = machine.record;
    expect(await flattenMachine(machine, given.signal)).toBe(false);
    expect(machine.record.layers).toEqual(layers);
    quickAgain();
    await expectSound(layered);
  });

  test('whose end is not heard of leaves no job behind', async () => {
    const layered = await deepMachine();
    const { machine } = layered;
    const { layers } = machine.record;
    let refusals = 1;
    intercept(layered, (run) => async (execute, args, deadlineMs) => {
      if (execute === 'query-jobs' && refusals-- > 0) throw new QmpTimeout('QEMU did not answer');
      return run(execute, args, deadlineMs);
    });
    expect(await failureOf(flattenMachine(machine, new AbortController().signal))).toBeInstanceOf(QmpTimeout);
    // The record may be behind: the layers that it names still exist.
    expect(machine.record.layers).toEqual(layers);
    await expectSound(layered);
  });

  test.each(['running', 'concluded'])('that was left behind %s is ended', async (status) => {
    const layered = await deepMachine();
    const { machine } = layered;
    const { layers } = machine.record;
    await leaveBehind(layered);
    if (status === 'concluded') await untilConcluded(layered);
    await endFlattening(machine);
    expect(machine.record.layers).toEqual(layers);
    await expectSound(layered);
  });

  test.each(['running', 'concluded'])('keeps its nodes from being deleted while it is %s', async (status) => {
    const layered = await deepMachine();
    const { machine } = layered;
    await leaveBehind(layered);
    if (status === 'concluded') await untilConcluded(layered);
    const refusal = await failureOf(deleteNodes(machine.qmp, ['layer3']));
    expect(refusal.message).toContain(`the job flatten (${status})`);
    const next = await NextOverlay.announce(layered.parts, machine);
    await next.withdrawUnused();
    machine.assertAlive();
    // The record is ahead by an empty layer until that can be removed.
    await layered.verify();
    await endFlattening(machine);
    await withdrawOverlay(machine);
    expect(machine.record.layers).toHaveLength(9);
    await expectSound(layered);
  });
});
