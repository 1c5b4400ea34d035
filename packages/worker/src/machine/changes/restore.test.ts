import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isSameProcess } from '../../host/processes.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf } from '../../testing/scratch.ts';
import { type Step, steps } from '../steps.ts';
import { CountingHost, id, prepareCountingHosts } from './testing/counting-host.ts';

const snapshot = '8c5a6a52-3f0a-4c27-9f4b-2d8f4a1c9e10';

/** A host with a machine that has gone on since a snapshot of it: `one` was saved, it says `two`. */
async function goneOn(kind: 'full' | 'disk_only' = 'full'): Promise<CountingHost> {
  const host = await CountingHost.open();
  const machine = await host.create();
  await host.changes.snapshot(snapshot, { machine: id, kind });
  await host.change(machine, 'two');
  host.trace.length = 0;
  host.port.guest.handshakes.length = 0;
  return host;
}

describe.skipIf((await missingTools()) !== undefined)('restoring a machine', () => {
  prepareCountingHosts();

  test('puts memory and disk back; the old process ends only when the record names the new run', async () => {
    const host = await goneOn();
    const before = host.machine();
    const seen: Partial<Record<Step, unknown>> = {};
    for (const step of steps.restore)
      host.at(`restore:${step}`, async () => {
        const runs = (await host.files('machines', id)).filter((file) => file.startsWith('run'));
        const old = isSameProcess(before.process.identity);
        seen[`restore:${step}`] = { run: (await host.record())?.run, old, runs: runs.length };
      });
    expect(await host.changes.restore(id, snapshot)).toMatchObject({
      state: 'running',
      startedFrom: 'memory',
    });

    expect(seen).toEqual({
      'restore:files': { run: 1, old: true, runs: 2 },
      'restore:loaded': { run: 1, old: true, runs: 2 },
      'restore:recorded': { run: 2, old: true, runs: 2 },
      'restore:ended': { run: 2, old: false, runs: 2 },
      'restore:answered': { run: 2, old: false, runs: 2 },
    });
    const machine = host.machine();
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
    await host.memory(machine).countsOn();
    // It is the same machine for its guest and for its user.
    const { spec, machineId } = before.record;
    expect(machine.record).toMatchObject({ spec, machineId, origin: snapshot });
    expect(host.port.guest.handshakes[0]).toMatchObject({ identity: { machineId } });
    expect(await host.record()).toEqual(machine.record);
    expect(await host.files('machines', id)).toEqual(['machine.json', 'qemu.log', 'run-2']);
    expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.2`], files: [id] });
  });

  test.each(['files', 'loaded'] as const)(
    'that fails at the step %s changes nothing of the machine, which runs on',
    async (step) => {
      const host = await goneOn();
      const before = host.machine();
      const record = await host.record();
      const mend = host.failAt(`restore:${step}`);
      expect(await failureOf(host.changes.restore(id, snapshot))).toMatchObject({ code: 'start_failed' });
      expect(host.machine()).toBe(before);
      expect(await host.record()).toEqual(record);
      await host.memory(before).countsOn();
      expect(await host.says()).toEqual({ memory: 'two', disk: 'two' });
      expect(await host.files('machines', id)).toEqual(['machine.json', 'qemu.log', 'run-1']);
      expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.1`], files: [id] });
      mend();
      await host.changes.restore(id, snapshot);
      expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
    },
  );

  test('that cannot remove the last run is restored all the same', async () => {
    const host = await goneOn();
    const before = host.machine();
    const release = host.network.release.bind(host.network);
    host.network.release = () => Promise.reject(new Error('the slot cannot be removed'));
    await host.changes.restore(id, snapshot);
    host.network.release = release;
    expect(host.machine()).not.toBe(before);
    await host.memory(host.machine()).countsOn();
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
    expect(host.processes()).toEqual(['2']);
  });

  test('that hibernates wakes it in the checkpoint, and drops the memory that it had', async () => {
    const host = await goneOn();
    await host.changes.hibernate(id);
    expect(await host.changes.restore(id, snapshot)).toMatchObject({ state: 'running' });
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
    expect(await host.files('machines', id)).toEqual(['machine.json', 'qemu.log', 'run-2']);
    expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.2`], files: [id] });
  });

  test('that hibernates and cannot be started leaves it hibernated', async () => {
    const host = await goneOn();
    await host.changes.hibernate(id);
    host.failAt('restore:loaded');
    expect(await failureOf(host.changes.restore(id, snapshot))).toMatchObject({ code: 'start_failed' });
    expect(await host.inUse()).toEqual({ slots: 0, machines: 0, processes: [], files: [id] });
    expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
    expect(await host.says()).toEqual({ memory: 'two', disk: 'two' });
  });

  test('to a checkpoint of the disk boots it', async () => {
    const host = await goneOn('disk_only');
    expect(await host.changes.restore(id, snapshot)).toMatchObject({ startedFrom: 'disk' });
    await host.memory(host.machine()).countsOn();
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
  });

  test('to a checkpoint that is damaged or not there is refused before anything happens', async () => {
    const host = await goneOn();
    const before = host.machine();
    const missing = '00000000-3f0a-4c27-9f4b-2d8f4a1c9e10';
    expect(await failureOf(host.changes.restore(id, missing))).toMatchObject({
      code: 'checkpoint_not_found',
    });
    await truncate(join(host.snapshots.path(snapshot), 'layer-2'), 512);
    expect(await failureOf(host.changes.restore(id, snapshot))).toMatchObject({ code: 'snapshot_damaged' });
    expect(host.trace).toEqual([]);
    expect(host.machine()).toBe(before);
    await host.memory(before).countsOn();
    expect(before.gate.isOpen).toBe(true);
  });
});
