import { rm, truncate } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { missingTools } from '../../qemu/testing/counter.ts';
import { flipBit } from '../../testing/damage.ts';
import { failureOf } from '../../testing/scratch.ts';
import { writeRecord } from '../record.ts';
import { type Step, steps } from '../steps.ts';
import { CountingHost, id, prepareCountingHosts } from './testing/counting-host.ts';
import { savedState } from './testing/guest-memory.ts';

/** A host with a machine that hibernates. */
async function hibernated(): Promise<CountingHost> {
  const host = await CountingHost.open();
  await host.create();
  await host.changes.hibernate(id);
  host.trace.length = 0;
  host.port.guest.handshakes.length = 0;
  return host;
}

describe.skipIf((await missingTools()) !== undefined)('waking a machine', () => {
  prepareCountingHosts();

  test('goes on where it stood; the record says that it runs before it does', async () => {
    const host = await hibernated();
    const { count } = await savedState(host.path('hibernation', 'ram'));
    const seen: Partial<Record<Step, unknown>> = {};
    for (const step of steps.wake)
      host.at(`wake:${step}`, async () => {
        const kept = (await host.files('machines', id)).includes('hibernation');
        const { handshakes } = host.port.guest;
        const record = await host.record();
        seen[`wake:${step}`] = { hibernated: record?.hibernated, kept, asked: handshakes.length > 0 };
      });
    expect(await host.changes.wake(id)).toMatchObject({ state: 'running', startedFrom: 'memory' });

    expect(seen).toEqual({
      'wake:linked': { hibernated: true, kept: true, asked: false },
      'wake:loaded': { hibernated: true, kept: true, asked: false },
      'wake:recorded': { hibernated: false, kept: true, asked: false },
      'wake:answered': { hibernated: false, kept: true, asked: true },
    });
    const machine = host.machine();
    expect(await host.memory(machine).count()).toBeGreaterThanOrEqual(count);
    await host.memory(machine).countsOn();
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
    const record = await host.record();
    expect(record).toEqual(machine.record);
    expect(record).toMatchObject({ run: 1, slot: machine.slot.index, process: machine.process.identity });
    expect(record?.saved).toBeUndefined();
    expect(host.port.guest.handshakes[0]).toMatchObject({ identity: { machineId: record?.machineId } });
    expect(await host.files('machines', id)).toEqual(['machine.json', 'qemu.log', 'run-1']);
    expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.1`], files: [id] });
  });

  test.each(['linked', 'loaded'] as const)(
    'that fails at the step %s leaves it hibernated, and it can be woken later',
    async (step) => {
      const host = await hibernated();
      const before = await host.record();
      const mend = host.failAt(`wake:${step}`);
      expect(await failureOf(host.changes.wake(id))).toMatchObject({ code: 'start_failed' });
      expect(await host.record()).toEqual(before);
      expect(host.registry.info(id)).toMatchObject({ state: 'hibernated' });
      expect(await host.inUse()).toEqual({ slots: 0, machines: 0, processes: [], files: [id] });
      mend();
      expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
      expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
    },
  );

  test('is never undone once the record says that it runs, though its guest does not answer', async () => {
    const host = await hibernated();
    host.failAt('wake:answered');
    const failure = await failureOf(host.changes.wake(id));
    expect(failure).toMatchObject({
      code: 'start_failed',
      message: expect.stringContaining('runs, but does not answer') as string,
    });
    expect(host.registry.info(id)).toMatchObject({ state: 'running', startedFrom: 'memory' });
    await host.memory(host.machine()).countsOn();
    // It is out of date, since the machine may have written to its disk.
    expect(await host.files('machines', id)).not.toContain('hibernation');
  });

  test.each([
    ['has lost its memory image', 'ram', (path: string) => rm(path), 'is missing'],
    ['has a memory image that was cut off', 'ram', (path: string) => truncate(path, 4096), '4096 bytes'],
    ['has a changed byte in its memory', 'ram', (path: string) => flipBit(path, 0x8000), 'is damaged'],
    ['has lost the state of its devices', 'devices', (path: string) => rm(path), 'is missing'],
    ['has a changed state of its devices', 'devices', (path: string) => flipBit(path, 100), 'is damaged'],
  ] as const)('that %s boots it from its disk, and says why', async (_name, file, damage, reason) => {
    const host = await hibernated();
    await damage(host.path('hibernation', file));
    expect(await host.changes.wake(id)).toMatchObject({
      state: 'running',
      startedFrom: 'disk',
      coldBootReason: expect.stringContaining(reason) as string,
    });
    await host.memory(host.machine()).countsOn();
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
    expect(await host.files('machines', id)).toEqual(['machine.json', 'qemu.log', 'run-1']);
  });

  test('that was saved by another kind of host boots it from its disk', async () => {
    const host = await hibernated();
    const record = await host.record();
    if (record?.saved === undefined) throw new Error('nothing was saved');
    const compatibility = { ...record.saved.compatibility, qemu: '6.0' };
    await writeRecord(host.path(), { ...record, saved: { ...record.saved, compatibility } });
    await host.nextWorker();
    expect(await host.changes.wake(id)).toMatchObject({
      startedFrom: 'disk',
      coldBootReason: expect.stringContaining('another QEMU (6.0') as string,
    });
    expect((await host.says()).disk).toBe('one');
  });

  test('whose disk is damaged is refused, and nothing of it is lost', async () => {
    const host = await hibernated();
    const before = await host.record();
    await flipBit(host.path('run-1', 'disk.qcow2'), -1);
    expect(await failureOf(host.changes.wake(id))).toMatchObject({ code: 'snapshot_damaged' });
    expect(await host.record()).toEqual(before);
    expect(await host.files('machines', id)).toContain('hibernation');
    expect(host.registry.info(id)).toMatchObject({ state: 'hibernated' });
    // The user has put it right.
    await flipBit(host.path('run-1', 'disk.qcow2'), -1);
    expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
  });

  test('that the host cannot do now says nothing about its memory', async () => {
    const host = await hibernated();
    const claim = host.network.claim.bind(host.network);
    host.network.claim = () => Promise.reject(new Error('all slots are in use'));
    expect(await failureOf(host.changes.wake(id))).toMatchObject({ code: 'start_failed' });
    expect(host.registry.info(id)).toMatchObject({ state: 'hibernated' });
    host.network.claim = claim;
    expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
  });

  test('that takes too long says nothing about its memory either', async () => {
    const host = await hibernated();
    const mend = host.answerLate('query-status');
    expect(await failureOf(host.changes.wake(id))).toMatchObject({ code: 'start_failed' });
    expect(await host.inUse()).toEqual({ slots: 0, machines: 0, processes: [], files: [id] });
    mend();
    expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
    expect((await host.says()).memory).toBe('one');
  });

  test('that runs does nothing', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    expect(await host.changes.wake(id)).toEqual(machine.info());
    expect(host.trace).toEqual([]);
    expect(host.machine()).toBe(machine);
  });
});
