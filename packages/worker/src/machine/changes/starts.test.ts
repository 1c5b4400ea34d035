import { ApiError } from '@opencomputer/protocol';
import { describe, expect, it } from 'vitest';
import { Capacity, defaultCapacity } from '../../host/capacity.ts';
import { endProcess } from '../../qemu/process.ts';
import { failureOf, scratchDirectory, until } from '../../testing/scratch.ts';
import type { Machine } from '../machine.ts';
import { MachineRegistry } from '../registry.ts';
import { id, startMachine } from '../testing/started-machine.ts';
import type { Runner } from './runner.ts';
import { Starts } from './starts.ts';

/** Starts on a host with this memory. Machines come from the tests. */
async function host(memoryMB = 65_536) {
  const registry = new MachineRegistry();
  const readings = { memoryTotalMB: memoryMB, memoryAvailableMB: memoryMB, diskFreeMB: 65_536 };
  const capacity = new Capacity({ config: defaultCapacity, readings: () => Promise.resolve(readings) });
  const ended: string[] = [];
  const onEnd: Runner['onEnd'] = (_machine, reason) => void ended.push(reason);
  const starts = new Starts({ onEnd } as Runner, registry, capacity, await scratchDirectory());
  const start = (begin: () => Promise<{ machine: Machine; answered: Promise<void> }>) =>
    starts.start(id, 256, begin);
  return { registry, capacity, starts, start, ended };
}

describe('a start', () => {
  it('lists the machine as soon as it runs, and returns when its guest answers', async () => {
    const { registry, capacity, start } = await host();
    const machine = await startMachine();
    const answered = Promise.withResolvers<void>();
    let done = false;
    const started = start(() => Promise.resolve({ machine, answered: answered.promise }));
    void started.then(() => (done = true));
    await until(() => registry.findRunning(id) === machine);
    expect(done).toBe(false);
    answered.resolve();
    expect(await started).toMatchObject({ id, state: 'running' });
    expect(capacity.commitments()).toMatchObject({ machines: 1, committedMB: 256 });
  });

  it('is refused, and not begun, where the host has no room', async () => {
    const { registry, capacity, start } = await host(256);
    let begun = false;
    const refusal = await failureOf(
      start(() => {
        begun = true;
        return Promise.reject(new Error('begun'));
      }),
    );
    expect(refusal).toMatchObject({ code: 'no_capacity', hint: expect.any(String) as string });
    expect(begun).toBe(false);
    expect(registry.list()).toEqual([]);
    expect(capacity.commitments().machines).toBe(0);
  });

  it.each([
    [new Error('QEMU did not start'), 'start_failed'],
    [new ApiError('checkpoint_not_found', 'gone'), 'checkpoint_not_found'],
  ])('that fails gives its room back: %s', async (reason, code) => {
    const { registry, capacity, start } = await host();
    expect(await failureOf(start(() => Promise.reject(reason)))).toMatchObject({ code });
    expect(capacity.commitments().machines).toBe(0);
    expect(registry.list()).toEqual([]);
    const machine = await startMachine();
    await start(() => Promise.resolve({ machine, answered: Promise.resolve() }));
  });

  it('keeps a machine that runs and does not answer', async () => {
    const { registry, capacity, start } = await host();
    const machine = await startMachine();
    const answered = Promise.reject(new Error('no handshake'));
    answered.catch(() => undefined);
    const failure = await failureOf(start(() => Promise.resolve({ machine, answered })));
    expect(failure).toMatchObject({
      code: 'start_failed',
      message: expect.stringContaining('runs, but does not answer: no handshake') as string,
    });
    expect(registry.findRunning(id)).toBe(machine);
    expect(capacity.commitments().machines).toBe(1);
  });

  it('reports a machine that has ended before it was listed', async () => {
    const { starts, ended } = await host();
    const machine = await startMachine();
    await endProcess(machine.process.identity);
    machine.qmp.close();
    await until(() => machine.failure !== undefined);
    starts.list(machine);
    expect(ended).toEqual([machine.failure]);
  });
});
