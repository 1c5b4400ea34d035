import { guestPaths } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { answerJson } from '../../guest/testing/guest-agent.ts';
import { isSameProcess } from '../../host/processes.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf } from '../../testing/scratch.ts';
import { type Step, steps } from '../steps.ts';
import { CountingHost, id, prepareCountingHosts } from './testing/counting-host.ts';
import { savedState } from './testing/guest-memory.ts';

/** Where the record says that the machine is hibernated. */
const durable = steps.hibernate.indexOf('recorded');

describe.skipIf((await missingTools()) !== undefined)('hibernating a machine', () => {
  prepareCountingHosts();

  test('brings the guest to rest, saves all of it, writes the record, and only then ends the process', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    const { identity } = machine.process;
    const hibernated: Partial<Record<Step, boolean | undefined>> = {};
    const running: Partial<Record<Step, boolean>> = {};
    for (const step of steps.hibernate)
      host.at(`hibernate:${step}`, async () => {
        hibernated[`hibernate:${step}`] = (await host.record())?.hibernated;
        running[`hibernate:${step}`] = isSameProcess(identity);
      });
    let stoppedAt = 0;
    host.at('hibernate:stopped', async () => {
      stoppedAt = await host.memory(machine).count();
    });
    const { sizeBytes } = await host.changes.hibernate(id);

    expect(host.trace).toEqual([
      'hibernate:copied',
      `guest: POST ${guestPaths.quiesce}`,
      'stop',
      'hibernate:stopped',
      'xen-save-devices-state',
      'hibernate:taken',
      'hibernate:sealed',
      'hibernate:moved',
      'hibernate:recorded',
      'hibernate:ended',
    ]);
    expect(hibernated).toMatchObject({ 'hibernate:moved': false, 'hibernate:recorded': true });
    expect(running).toMatchObject({ 'hibernate:recorded': true, 'hibernate:ended': false });
    const ram = host.path('hibernation', 'ram');
    expect(await savedState(ram)).toEqual({ count: stoppedAt, mark: 'one' });
    expect(await host.diskSays()).toBe('one');

    const record = await host.record();
    expect(record).toMatchObject({ hibernated: true, hibernationBytes: sizeBytes, run: 1 });
    expect(sizeBytes).toBeGreaterThan(0);
    const { digests, compatibility } = record?.saved ?? {};
    expect(compatibility).toEqual(host.templates.compatibility('base', machine.record.spec));
    expect(digests).toEqual({
      ram: await host.setup.integrity.digest(ram),
      devices: await host.setup.integrity.digest(host.path('hibernation', 'devices')),
      top: await host.setup.integrity.digest(host.path('run-1', 'disk.qcow2')),
    });
    expect(await host.files('machines', id)).toEqual(['hibernation', 'machine.json', 'qemu.log', 'run-1']);
    expect(await host.inUse()).toEqual({ slots: 0, machines: 0, processes: [], files: [id] });
    expect(host.registry.info(id)).toMatchObject({ state: 'hibernated', hibernationBytes: sizeBytes });
  });

  test.each(steps.hibernate.slice(0, durable))(
    'that fails at the step %s lets the machine go on as if nothing had been',
    async (step) => {
      const host = await CountingHost.open();
      const machine = await host.create();
      const record = await host.record();
      host.failAt(`hibernate:${step}`);
      expect(await failureOf(host.changes.hibernate(id))).toMatchObject({ code: 'snapshot_failed' });
      expect(host.machine()).toBe(machine);
      expect(await host.record()).toEqual(record);
      expect(await host.files('machines', id)).toEqual(['machine.json', 'qemu.log', 'run-1']);
      expect(await host.files('machines', id, 'run-1')).not.toContain('devices');
      expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.1`], files: [id] });
      await host.memory(machine).countsOn();
      await host.change(machine, 'two');
      expect(await host.says()).toEqual({ memory: 'two', disk: 'two' });
      expect(machine.gate.isOpen).toBe(true);
    },
  );

  test('whose process or network cannot be removed has hibernated all the same', async () => {
    const host = await CountingHost.open();
    await host.create();
    const release = host.network.release.bind(host.network);
    host.network.release = () => Promise.reject(new Error('the slot cannot be removed'));
    expect(await failureOf(host.changes.hibernate(id))).toMatchObject({ code: 'snapshot_failed' });
    expect(host.registry.info(id)).toMatchObject({ state: 'hibernated' });
    expect(await host.inUse()).toMatchObject({ machines: 0, processes: [] });
    host.network.release = release;
    await host.changes.wake(id);
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });

    const mend = host.failAt('hibernate:recorded');
    const left = host.machine().process.identity;
    expect(await failureOf(host.changes.hibernate(id))).toMatchObject({ code: 'snapshot_failed' });
    expect(isSameProcess(left)).toBe(true);
    expect(host.registry.info(id)).toMatchObject({ state: 'hibernated' });
    mend();
    expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
    expect(isSameProcess(left)).toBe(false);
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test('on a full disk says so', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    host.at('hibernate:sealed', () => {
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    });
    expect(await failureOf(host.changes.hibernate(id))).toMatchObject({ code: 'no_space' });
    await host.memory(machine).countsOn();
  });

  test('saves a guest that does not come to rest as it is', async () => {
    const host = await CountingHost.open();
    await host.create();
    host.port.answer = ({ stream }) => answerJson(stream, { code: 'internal', message: 'no' }, 500);
    await host.changes.hibernate(id);
    expect(await savedState(host.path('hibernation', 'ram'))).toMatchObject({ mark: 'one' });
  });

  test('that is hibernated already does nothing', async () => {
    const host = await CountingHost.open();
    await host.create();
    const first = await host.changes.hibernate(id);
    host.trace.length = 0;
    expect(await host.changes.hibernate(id)).toEqual(first);
    expect(host.trace).toEqual([]);
  });
});
