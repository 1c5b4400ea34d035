import { guestPaths } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { answerJson } from '../../guest/testing/guest-agent.ts';
import { runState } from '../../qemu/launch.ts';
import { copyRamImage } from '../../qemu/ram.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { quiet as log } from '../../testing/log.ts';
import { failureOf, until } from '../../testing/scratch.ts';
import { quiet, stopMachine, takeMemory } from './freeze.ts';
import { CountingHost, prepareCountingHosts } from './testing/counting-host.ts';
import { markAddress, savedState } from './testing/guest-memory.ts';

describe.skipIf((await missingTools()) !== undefined)('a machine that is frozen', () => {
  prepareCountingHosts();

  test('has written out its disk and has no connection', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    const asked: unknown[] = [];
    host.port.answer = async ({ stream, body }) => {
      asked.push(JSON.parse(await body()));
      answerJson(stream, {});
    };
    expect(await quiet(machine, log)).toBe(true);
    expect(asked).toEqual([{ sync: true }]);
    expect(host.port.guest.sessions.size).toBe(0);
  });

  test('has no connection either where its guest does not come to rest', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    host.port.answer = ({ stream }) => answerJson(stream, { code: 'internal', message: 'no' }, 500);
    expect(await quiet(machine, log)).toBe(false);
    await until(() => host.port.guest.sessions.size === 0);
    expect(host.trace).toEqual([`guest: POST ${guestPaths.quiesce}`]);
  });

  test('stands still', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    await stopMachine(machine);
    expect(await runState(machine.qmp)).toBe('paused');
    const count = await host.memory(machine).count();
    expect(await host.memory(machine).count()).toBe(count);
  });

  test('is not taken for frozen in any other state', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    const { qmp } = machine;
    const run = qmp.run.bind(qmp);
    qmp.run = async (execute, ...rest) =>
      execute === 'query-status' ? { status: 'io-error' } : run(execute, ...rest);
    expect((await failureOf(stopMachine(machine))).message).toContain('in the state io-error');
  });

  test('has its memory of that instant over a copy that was made before', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    const memory = host.memory(machine);
    const copy = host.path('copy');
    await copyRamImage(host.path('run-1', 'ram'), copy);
    await memory.countsOn();
    await memory.mark('two');
    await stopMachine(machine);
    const changed = await takeMemory(machine, copy);
    expect(await savedState(copy)).toEqual({ count: await memory.count(), mark: 'two' });
    expect(changed.some(([start, end]) => start <= markAddress && markAddress < end)).toBe(true);
    expect(await host.files('machines', machine.id, 'run-1')).toContain('devices');
  });
});
