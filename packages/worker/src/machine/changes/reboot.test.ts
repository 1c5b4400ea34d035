import { guestPaths } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { answerJson, type GuestCall } from '../../guest/testing/guest-agent.ts';
import { isSameProcess } from '../../host/processes.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf, until } from '../../testing/scratch.ts';
import { CountingHost, id, prepareCountingHosts } from './testing/counting-host.ts';

/** A guest that does what it is asked to. @returns the commands that it gets */
function obeys(host: CountingHost): { asked: unknown[] } {
  const asked: unknown[] = [];
  const memory = host.memory(host.machine());
  host.port.answer = async ({ stream, path, body }: GuestCall) => {
    if (path !== guestPaths.exec)
      return answerJson(stream, { code: 'not_found', message: 'no such call' }, 404);
    asked.push(JSON.parse(await body()));
    await memory.order('power off');
    // QEMU takes the port with it.
    stream.session?.destroy();
  };
  return { asked };
}

describe.skipIf((await missingTools()) !== undefined)('rebooting a machine', () => {
  prepareCountingHosts();

  test('by power-cycling ends it at once and boots it from its disk', async () => {
    const host = await CountingHost.open();
    const old = await host.create();
    let ended: boolean | undefined;
    host.at('reboot:ended', () => {
      ended = !isSameProcess(old.process.identity);
    });
    expect(await host.changes.reboot(id, true)).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect(ended).toBe(true);
    expect(host.trace.filter((entry) => entry.startsWith('guest'))).toEqual([]);
    const machine = host.machine();
    expect(machine.process.identity).not.toEqual(old.process.identity);
    await host.memory(machine).countsOn();
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
    expect(await host.record()).toEqual(machine.record);
    expect(machine.record.coldBootReason).toBeUndefined();
    expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.1`], files: [id] });
    expect(old.gate.isOpen).toBe(true);
  });

  test('has its guest shut down first, and does not take that for a failure', async () => {
    const host = await CountingHost.open();
    await host.create();
    const guest = obeys(host);
    expect(await host.changes.reboot(id, false)).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect(guest.asked).toMatchObject([{ argv: ['systemctl', 'poweroff'], user: 'root' }]);
    expect(host.trace.filter((entry) => entry.startsWith('failed'))).toEqual([]);
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
    expect(host.processes()).toHaveLength(1);
  });

  test('that cannot be started again leaves it failed with its disk, and a wake boots it', async () => {
    const host = await CountingHost.open();
    await host.create();
    const mend = host.failAt('boot:prepared');
    expect(await failureOf(host.changes.reboot(id, true))).toMatchObject({ code: 'start_failed' });
    expect(host.registry.info(id)).toMatchObject({
      state: 'failed',
      reason: 'it was ended for a reboot and could not be started again',
    });
    expect(await host.inUse()).toEqual({ slots: 0, machines: 0, processes: [], files: [id] });
    expect(await host.diskSays()).toBe('one');
    mend();
    expect(await host.changes.wake(id)).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
  });

  test('whose network cannot be removed leaves it failed, and not listed as running', async () => {
    const host = await CountingHost.open();
    await host.create();
    const release = host.network.release.bind(host.network);
    host.network.release = () => Promise.reject(new Error('the slot cannot be removed'));
    expect(await failureOf(host.changes.reboot(id, true))).toMatchObject({ code: 'start_failed' });
    expect(host.registry.info(id)).toMatchObject({ state: 'failed' });
    host.network.release = release;
    expect(await host.changes.reboot(id, true)).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect((await host.says()).disk).toBe('one');
  });

  test('of one that hibernates is refused; a power-cycle gives its memory up', async () => {
    const host = await CountingHost.open();
    await host.create();
    await host.changes.hibernate(id);
    expect(await failureOf(host.changes.reboot(id, false))).toMatchObject({ code: 'hibernated' });
    expect(await host.files('machines', id)).toContain('hibernation');
    expect(await host.changes.reboot(id, true)).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
    expect(await host.files('machines', id)).not.toContain('hibernation');
    expect(await failureOf(host.changes.reboot('sb-89abcdef', true))).toMatchObject({
      code: 'sandbox_not_found',
    });
  });

  test('is what follows when the guest restarts by itself', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    await host.memory(machine).order('restart');
    await until(() => host.trace.includes('restarted'));
    expect(host.machine().record.coldBootReason).toContain('restarted');
    expect(host.registry.info(id)).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
    expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.1`], files: [id] });
  });

  test('does not follow when it powers itself off: it has failed, and says so', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    await host.memory(machine).order('power off');
    await until(() => host.trace.includes('failed: the guest powered itself off'));
    expect(host.registry.info(id)).toMatchObject({ state: 'failed', reason: 'the guest powered itself off' });
    expect(await host.inUse()).toEqual({ slots: 0, machines: 0, processes: [], files: [id] });
    expect(await host.diskSays()).toBe('one');
  });
});
