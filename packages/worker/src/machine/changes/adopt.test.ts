import { rm, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { isSameProcess } from '../../host/processes.ts';
import { runState } from '../../qemu/launch.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf } from '../../testing/scratch.ts';
import { writeRecord } from '../record.ts';
import { adoptMachine } from './adopt.ts';
import { NextOverlay } from './next-overlay.ts';
import { CountingHost, id, prepareCountingHosts } from './testing/counting-host.ts';
import { liveFiles } from './testing/guest-disk.ts';

describe.skipIf((await missingTools()) !== undefined)('taking over a machine', () => {
  prepareCountingHosts();

  test('lets one go on that was paused for a change', async () => {
    const host = await CountingHost.open();
    const before = await host.create();
    await before.qmp.run('stop');
    await host.nextWorker();
    const machine = host.machine();
    expect(await runState(machine.qmp)).toBe('running');
    await host.memory(machine).countsOn();
  });

  test('removes an overlay that QEMU has and does not use, from the record and from QEMU', async () => {
    const host = await CountingHost.open();
    const before = await host.create();
    const { record } = before;
    await NextOverlay.announce(host.setup, before);
    expect((await host.record())?.top).toBe('disk-1.qcow2');
    await host.nextWorker();
    const machine = host.machine();
    expect(machine.record).toMatchObject({ layers: record.layers, top: record.top });
    expect(await host.record()).toEqual(machine.record);
    expect(await liveFiles(machine)).toEqual([...record.layers.map(({ file }) => file), record.top]);
    expect(await host.files('machines', id, 'run-1')).not.toContain('disk-1.qcow2');
    // Its name is free in QEMU, too.
    await (await NextOverlay.announce(host.setup, machine)).withdrawUnused();
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test('removes an overlay that QEMU has not got from the record', async () => {
    const host = await CountingHost.open();
    const { record } = await host.create();
    const layers = [...record.layers, { file: record.top, format: 'qcow2' } as const];
    await writeRecord(host.path(), { ...record, layers, top: 'disk-1.qcow2' });
    await writeFile(host.path('run-1', 'disk-1.qcow2'), '');
    await host.nextWorker();
    expect(host.machine().record).toMatchObject({ layers: record.layers, top: record.top });
    expect(await host.record()).toEqual(host.machine().record);
    expect(await host.files('machines', id, 'run-1')).not.toContain('disk-1.qcow2');
  });

  test('keeps an overlay that QEMU writes to', async () => {
    const host = await CountingHost.open();
    const before = await host.create();
    await before.qmp.run('stop');
    await (await NextOverlay.announce(host.setup, before)).switchTo();
    await before.qmp.run('cont');
    await host.change(before, 'two');
    await host.nextWorker();
    const machine = host.machine();
    expect(machine.record.top).toBe('disk-1.qcow2');
    expect(await liveFiles(machine)).toEqual(['layer-0', 'layer-1', 'disk.qcow2', 'disk-1.qcow2']);
    expect(await host.says()).toEqual({ memory: 'two', disk: 'two' });
  });

  test('notes the process of a machine that an older worker has started', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    const { process: _process, ...older } = machine.record;
    await writeRecord(host.path(), older);
    await host.nextWorker();
    expect((await host.record())?.process).toEqual(machine.process.identity);
  });

  test('gives the slot back where its monitor cannot be reached, and leaves the process as it is', async () => {
    const host = await CountingHost.open();
    const { record, process } = await host.create();
    await rm(host.path('run-1', 'qmp.sock'));
    await writeFile(host.path('run-1', 'qmp.sock'), 'no socket');
    await host.nextWorker();
    expect(host.registry.info(id)).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('cannot be taken over') as string,
    });
    const adopted = { directory: host.path(), record, process: process.identity };
    expect((await failureOf(adoptMachine(host.changes.runner, adopted))).message).toContain('is no socket');
    expect(host.network.held.size).toBe(0);
    expect(isSameProcess(process.identity)).toBe(true);
    // Before its disk is used again, the process is ended.
    await host.changes.wake(id);
    expect(isSameProcess(process.identity)).toBe(false);
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
  });
});
