import { ApiError } from '@opencomputer/protocol';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../testing/scratch.ts';
import type { Machine } from './machine.ts';
import { MachineRegistry } from './registry.ts';
import { id, record, startMachine } from './testing/started-machine.ts';

describe('a registry', () => {
  it('knows a machine as running or as dormant, never as both', async () => {
    const registry = new MachineRegistry();
    expect(registry.list()).toEqual([]);
    const machine = await startMachine();
    registry.setRunning(machine);
    expect(registry.list()).toMatchObject([{ id, state: 'running' }]);
    registry.setDormant({ record: machine.record, state: 'hibernated', reason: undefined });
    expect(registry.list()).toMatchObject([{ id, state: 'hibernated', hibernationBytes: 4096 }]);
    expect(registry.findRunning(id)).toBeUndefined();
    registry.setRunning(machine);
    expect(registry.list()).toMatchObject([{ id, state: 'running' }]);
    expect(registry.findDormant(id)).toBeUndefined();
    registry.remove(id);
    expect(registry.list()).toEqual([]);
    expect(registry.record(id)).toBeUndefined();
  });

  it('says why a machine takes no calls', async () => {
    const registry = new MachineRegistry();
    const refusal = (): Promise<Error> => failureOf(registry.call(id, () => Promise.resolve()));
    expect(await refusal()).toMatchObject({ code: 'sandbox_not_found' });
    registry.setDormant({ record, state: 'hibernated', reason: undefined });
    expect(await refusal()).toMatchObject({ code: 'hibernated' });
    registry.setDormant({ record, state: 'failed', reason: 'its QEMU process was killed' });
    expect(await refusal()).toMatchObject({
      code: 'sandbox_stopped',
      message: expect.stringContaining('its QEMU process was killed') as string,
    });
    expect(registry.info(id)).toMatchObject({ state: 'failed', reason: 'its QEMU process was killed' });
  });
});

describe('a call that waits for a change', () => {
  it('is made on the machine that the change put in the place of the first', async () => {
    const registry = new MachineRegistry();
    const [before, after] = [await startMachine(), await startMachine({ run: 2 })];
    registry.setRunning(before);
    await before.gate.close(0);
    const used = registry.call(id, (channel) => Promise.resolve(channel));
    registry.setRunning(after);
    before.gate.open();
    expect((await used) === after.channel).toBe(true);
  });

  it('is refused, and not made, where the change ended the process', async () => {
    const registry = new MachineRegistry();
    const machine = await startMachine();
    registry.setRunning(machine);
    await machine.gate.close(0);
    let made = false;
    const refused = failureOf(
      registry.call(id, () => {
        made = true;
        return Promise.resolve();
      }),
    );
    registry.setDormant({ record: machine.record, state: 'hibernated', reason: undefined });
    machine.gate.open();
    expect(await refused).toMatchObject({ code: 'hibernated' });
    expect(made).toBe(false);
  });
});

describe('a call that a change cuts off', () => {
  /** Cuts off the first call, as a change does after its wait. */
  function cutOffOnce(machine: Machine): { count: () => number; call: () => Promise<string> } {
    let calls = 0;
    const call = async (): Promise<string> => {
      calls += 1;
      if (calls > 1) return 'done';
      await machine.gate.close(0);
      setImmediate(() => machine.gate.open());
      throw new ApiError('guest_failed', 'the guest closed the call without an answer');
    };
    return { count: () => calls, call };
  }

  it('is made again after it where that does no harm', async () => {
    const registry = new MachineRegistry();
    const machine = await startMachine();
    registry.setRunning(machine);
    const { count, call } = cutOffOnce(machine);
    expect(await registry.call(id, call, 'repeats')).toBe('done');
    expect(count()).toBe(2);
  });

  it('fails otherwise, and so does one that the guest fails by itself', async () => {
    const registry = new MachineRegistry();
    const machine = await startMachine();
    registry.setRunning(machine);
    const { count, call } = cutOffOnce(machine);
    expect(await failureOf(registry.call(id, call))).toMatchObject({ code: 'guest_failed' });
    expect(count()).toBe(1);
    const nonsense = (): Promise<never> => Promise.reject(new ApiError('guest_failed', 'nonsense'));
    expect(await failureOf(registry.call(id, nonsense, 'repeats'))).toMatchObject({ message: 'nonsense' });
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
