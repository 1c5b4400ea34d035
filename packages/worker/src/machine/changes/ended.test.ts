import { describe, expect, it } from 'vitest';
import { isSameProcess } from '../../host/processes.ts';
import type { NetworkSlot } from '../../network/types.ts';
import { quiet } from '../../testing/log.ts';
import { until } from '../../testing/scratch.ts';
import { guestReset, type Machine } from '../machine.ts';
import { MachineRegistry } from '../registry.ts';
import { id, startMachine } from '../testing/started-machine.ts';
import { EndedMachines } from './ended.ts';
import { Exclusive } from './exclusive.ts';

/** The parts of a worker that handle the end of a machine. @returns them, and a list of what they do, in order */
function host(
  boot: (registry: MachineRegistry) => Promise<void> = () => Promise.resolve(),
  release: () => Promise<void> = () => Promise.resolve(),
) {
  const registry = new MachineRegistry();
  const exclusive = new Exclusive();
  const reported: string[] = [];
  const released: NetworkSlot[] = [];
  const ended = new EndedMachines({
    registry,
    capacity: { release: () => reported.push('room is free') > 0 },
    network: {
      release: (slot) => {
        released.push(slot);
        return release();
      },
    },
    log: quiet,
    change: (of, change) => exclusive.run(of, change),
    boot: async (_id, _record, reason) => {
      reported.push(`boot: ${reason}`);
      await boot(registry);
    },
    onFailed: (_id, reason) => reported.push(`failed: ${reason}`),
    onRestarted: () => reported.push('restarted'),
  });
  const idle = (): Promise<void> => exclusive.run(id, () => Promise.resolve());
  return { registry, exclusive, ended, reported, released, idle };
}

async function running(registry: MachineRegistry): Promise<Machine> {
  const machine = await startMachine();
  registry.setRunning(machine);
  return machine;
}

describe('a machine whose process ends unasked', () => {
  it('has failed, and what it held of the host is free', async () => {
    const { registry, ended, reported, released, idle } = host();
    const machine = await running(registry);
    ended.handle(machine, 'its QEMU process was killed');
    expect(registry.info(id)).toMatchObject({ state: 'failed', reason: 'its QEMU process was killed' });
    await idle();
    await until(() => reported.length === 2);
    expect(reported).toEqual(['room is free', 'failed: its QEMU process was killed']);
    expect(released).toEqual([machine.slot]);
    expect(isSameProcess(machine.process.identity)).toBe(false);
  });

  it('boots again where its guest restarted, and calls wait for that', async () => {
    const next = await startMachine({ startedFrom: 'disk' });
    let closed: boolean | undefined;
    const { registry, ended, reported, idle } = host(async (of) => {
      closed = of.findRunning(id)?.gate.isOpen === false;
      of.setRunning(next);
    });
    const machine = await running(registry);
    ended.handle(machine, guestReset);
    await idle();
    await until(() => machine.gate.isOpen);
    expect(reported).toEqual(['room is free', `boot: ${guestReset}`, 'restarted']);
    expect(closed).toBe(true);
    expect(registry.findRunning(id)).toBe(next);
  });

  it('is left down where its guest restarts again at once, unless it is another of this id', async () => {
    let next = await startMachine();
    const { registry, ended, reported, idle } = host(async (of) => of.setRunning(next));
    ended.handle(await running(registry), guestReset);
    await idle();
    ended.handle(next, guestReset);
    await idle();
    await until(() => reported.at(-1) === `failed: ${guestReset}`);
    expect(registry.info(id)).toMatchObject({ state: 'failed', reason: guestReset });
    ended.forget(id);
    const other = await running(registry);
    next = await startMachine();
    ended.handle(other, guestReset);
    await idle();
    await until(() => reported.at(-1) === 'restarted');
    expect(registry.findRunning(id)).toBe(next);
  });

  it('has failed where it cannot be booted again', async () => {
    const { registry, ended, reported, idle } = host(() => Promise.reject(new Error('no memory is left')));
    const machine = await running(registry);
    ended.handle(machine, guestReset);
    await idle();
    await until(() => machine.gate.isOpen);
    expect(reported.at(-1)).toBe(`failed: ${guestReset}`);
    expect(registry.info(id)).toMatchObject({ state: 'failed', reason: guestReset });
  });

  it('has failed where its network cannot be removed', async () => {
    const refusal = (): Promise<void> => Promise.reject(new Error('the slot cannot be removed'));
    const { registry, ended, reported } = host(undefined, refusal);
    const machine = await running(registry);
    ended.handle(machine, guestReset);
    await until(() => machine.gate.isOpen);
    expect(reported).toEqual(['room is free', `failed: ${guestReset}`]);
    expect(registry.info(id)).toMatchObject({ state: 'failed', reason: guestReset });
  });

  it.each(['the process was killed', guestReset])(
    'is no failure where a change that was under way has done without it: %s',
    async (reason) => {
      const { registry, exclusive, ended, reported, released, idle } = host();
      const machine = await running(registry);
      const hibernated = Promise.withResolvers<void>();
      const change = exclusive.run(id, async () => {
        await hibernated.promise;
        registry.setDormant({ record: machine.record, state: 'hibernated', reason: undefined });
      });
      ended.handle(machine, reason);
      hibernated.resolve();
      await change;
      await idle();
      await until(() => machine.gate.isOpen);
      expect(reported).toEqual(['room is free']);
      expect(released).toEqual([machine.slot]);
      expect(registry.info(id)).toMatchObject({ state: 'hibernated' });
    },
  );

  it('before it was listed is left to its creation', async () => {
    const { ended, reported, released, idle } = host();
    ended.handle(await startMachine(), 'the process was killed');
    await idle();
    expect([reported, released]).toEqual([[], []]);
  });
});
