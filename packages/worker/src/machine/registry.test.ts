import { ApiError } from '@opencomputer/protocol';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../testing/scratch.ts';
import type { Machine } from './machine.ts';
import { MachineRegistry } from './registry.ts';
import { id, record, startMachine } from './testing/started-machine.ts';

describe('a registry', () => {
  it('knows a machine as running or at rest, never as both', async () => {
    const registry = new MachineRegistry();
    expect(registry.list()).toEqual([]);
    const machine = await startMachine();
    registry.setRunning(machine);
    expect(registry.list()).toMatchObject([{ id, state: 'running' }]);
    registry.setResting({ record: machine.record, state: 'hibernated', reason: undefined });
    expect(registry.list()).toMatchObject([{ id, state: 'hibernated', hibernationBytes: 4096 }]);
    expect(registry.findRunning(id)).toBeUndefined();
    registry.setRunning(machine);
    expect(registry.list()).toMatchObject([{ id, state: 'running' }]);
    expect(registry.findResting(id)).toBeUndefined();
    registry.remove(id);
    expect(registry.list()).toEqual([]);
    expect(registry.record(id)).toBeUndefined();
  });

  it('says why a machine takes no operations', async () => {
    const registry = new MachineRegistry();
    const refusal = (): Promise<Error> => failureOf(registry.operate(id, () => Promise.resolve()));
    expect(await refusal()).toMatchObject({ code: 'sandbox_not_found' });
    registry.setResting({ record, state: 'hibernated', reason: undefined });
    expect(await refusal()).toMatchObject({ code: 'hibernated' });
    registry.setResting({ record, state: 'failed', reason: 'its QEMU process was killed' });
    expect(await refusal()).toMatchObject({
      code: 'sandbox_stopped',
      message: expect.stringContaining('its QEMU process was killed') as string,
    });
    expect(registry.info(id)).toMatchObject({ state: 'failed', reason: 'its QEMU process was killed' });
  });
});

describe('an operation that waits for a change', () => {
  it('is made on the machine that the change put in the place of the first', async () => {
    const registry = new MachineRegistry();
    const [before, after] = [await startMachine(), await startMachine({ run: 2 })];
    registry.setRunning(before);
    await before.gate.close(0);
    const used = registry.operate(id, (channel) => Promise.resolve(channel));
    registry.setRunning(after);
    before.gate.open();
    expect((await used) === after.channel).toBe(true);
  });

  it('is refused, and not made, where the change laid the machine to rest', async () => {
    const registry = new MachineRegistry();
    const machine = await startMachine();
    registry.setRunning(machine);
    await machine.gate.close(0);
    let made = false;
    const refused = failureOf(
      registry.operate(id, () => {
        made = true;
        return Promise.resolve();
      }),
    );
    registry.setResting({ record: machine.record, state: 'hibernated', reason: undefined });
    machine.gate.open();
    expect(await refused).toMatchObject({ code: 'hibernated' });
    expect(made).toBe(false);
  });
});

describe('an operation that a change cuts off', () => {
  /** Ends the first call as a change does that had no patience for it. */
  function cutOffOnce(machine: Machine): { calls: () => number; operation: () => Promise<string> } {
    let calls = 0;
    const operation = async (): Promise<string> => {
      calls += 1;
      if (calls > 1) return 'done';
      await machine.gate.close(0);
      setImmediate(() => machine.gate.open());
      throw new ApiError('guest_failed', 'the guest closed the call without an answer');
    };
    return { calls: () => calls, operation };
  }

  it('is made again after it where that does no harm', async () => {
    const registry = new MachineRegistry();
    const machine = await startMachine();
    registry.setRunning(machine);
    const { calls, operation } = cutOffOnce(machine);
    expect(await registry.operate(id, operation, 'repeats')).toBe('done');
    expect(calls()).toBe(2);
  });

  it('fails otherwise, and so does one that the guest fails by itself', async () => {
    const registry = new MachineRegistry();
    const machine = await startMachine();
    registry.setRunning(machine);
    const { calls, operation } = cutOffOnce(machine);
    expect(await failureOf(registry.operate(id, operation))).toMatchObject({ code: 'guest_failed' });
    expect(calls()).toBe(1);
    const nonsense = (): Promise<never> => Promise.reject(new ApiError('guest_failed', 'nonsense'));
    expect(await failureOf(registry.operate(id, nonsense, 'repeats'))).toMatchObject({ message: 'nonsense' });
  });
});

describe('the processes of a machine', () => {
  it.each([
    ['go on after it was woken', { startedFrom: 'memory' }, true],
    ['do not after a boot', { startedFrom: 'disk' }, false],
    ['do not after a restore', { startedFrom: 'memory', run: 2 }, false],
  ] as const)('%s', async (_name, change, goOn) => {
    const before = await startMachine();
    expect(before.continues(before)).toBe(true);
    expect((await startMachine(change)).continues(before)).toBe(goOn);
  });
});
