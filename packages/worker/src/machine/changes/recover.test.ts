import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isSameProcess } from '../../host/processes.ts';
import { endProcess } from '../../qemu/process.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { type MachineRecord, writeRecord } from '../record.ts';
import { steps } from '../steps.ts';
import { templateMark } from './testing/counter-template.ts';
import { CountingHost, id, nothing, prepareCountingHosts, spec } from './testing/counting-host.ts';
import { liveFiles } from './testing/guest-disk.ts';

const snapshot = '8c5a6a52-3f0a-4c27-9f4b-2d8f4a1c9e10';

/** Changes the record as another worker could have left it. */
async function leave(host: CountingHost, change: Partial<MachineRecord>): Promise<void> {
  const record = await host.record();
  if (record === undefined) throw new Error('there is no record');
  await writeRecord(host.path(), { ...record, ...change });
}

describe.skipIf((await missingTools()) !== undefined)('the next worker', () => {
  prepareCountingHosts();

  test('takes over a machine that runs, which does not notice', async () => {
    const host = await CountingHost.open();
    const before = await host.create();
    const [{ identity }, record] = [before.process, before.record];
    const empty = { hibernated: [], lost: [], cleaned: [] };
    expect(await host.nextWorker()).toEqual({ ...empty, adopted: [id] });
    const machine = host.machine();
    expect(machine).not.toBe(before);
    expect(machine.process.identity).toEqual(identity);
    expect(machine.record).toEqual(await host.record());
    expect(machine.record).toMatchObject({ startedAt: record.startedAt, machineId: record.machineId });
    await host.memory(machine).countsOn();
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
    expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.1`], files: [id] });
    await host.changes.hibernate(id);
    await host.changes.wake(id);
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test('knows a machine that hibernates, and can wake it', async () => {
    const host = await CountingHost.open();
    await host.create();
    const { sizeBytes } = await host.changes.hibernate(id);
    expect(await host.nextWorker()).toMatchObject({ hibernated: [id], adopted: [], lost: [] });
    expect(host.registry.info(id)).toMatchObject({ state: 'hibernated', hibernationBytes: sizeBytes });
    expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test('keeps the disk of a machine whose process is gone', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    machine.expectEnd();
    await endProcess(machine.process.identity);
    expect(await host.nextWorker()).toMatchObject({ lost: [id], adopted: [] });
    expect(host.registry.info(id)).toMatchObject({ state: 'failed' });
    expect(await host.inUse()).toEqual({ ...nothing, files: [id] });
    expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'disk' });
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
  });

  test.each([{ ready: false }, { deleting: true }])(
    'removes a machine that is left with %j',
    async (change) => {
      const host = await CountingHost.open();
      const machine = await host.create();
      await leave(host, change);
      expect(await host.nextWorker()).toMatchObject({ cleaned: [id], adopted: [] });
      expect(isSameProcess(machine.process.identity)).toBe(false);
      expect(await host.inUse()).toEqual(nothing);
    },
  );

  test('leaves a machine alone whose record it cannot read', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    const text = await readFile(host.path('machine.json'), 'utf8');
    await writeFile(host.path('machine.json'), text.replace('"run"', '"rum"'));
    expect(await host.nextWorker()).toEqual({ adopted: [], hibernated: [], lost: [], cleaned: [] });
    expect(isSameProcess(machine.process.identity)).toBe(true);
    expect(await host.files('machines')).toEqual([id]);
    await writeFile(host.path('machine.json'), text);
    expect(await host.nextWorker()).toMatchObject({ adopted: [id] });
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test.each(steps.hibernate)('goes on after a hibernation that came to the step %s', async (step) => {
    const host = await CountingHost.open();
    await host.create();
    await host.stopAt(`hibernate:${step}`, () => host.changes.hibernate(id));
    const done = steps.hibernate.indexOf(step) >= steps.hibernate.indexOf('recorded');
    expect(await host.nextWorker()).toMatchObject(done ? { hibernated: [id] } : { adopted: [id] });
    const files = ['machine.json', 'qemu.log', 'run-1'];
    expect(await host.files('machines', id)).toEqual(done ? ['hibernation', ...files] : files);
    expect(await host.files('machines', id, 'run-1')).not.toContain('devices');
    expect(host.processes()).toEqual(done ? [] : ['1']);
    if (done) expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
    await host.memory(host.machine()).countsOn();
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test.each(steps.wake)('goes on after a wake that came to the step %s', async (step) => {
    const host = await CountingHost.open();
    await host.create();
    await host.changes.hibernate(id);
    await host.stopAt(`wake:${step}`, () => host.changes.wake(id));
    const done = steps.wake.indexOf(step) >= steps.wake.indexOf('recorded');
    expect(await host.nextWorker()).toMatchObject(done ? { adopted: [id] } : { hibernated: [id] });
    expect(host.processes()).toEqual(done ? ['1'] : []);
    expect((await host.files('machines', id)).includes('hibernation')).toBe(!done);
    if (!done) expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
    await host.memory(host.machine()).countsOn();
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test.each(steps.snapshot)('goes on after a snapshot that came to the step %s', async (step) => {
    const host = await CountingHost.open();
    await host.create();
    await host.stopAt(`snapshot:${step}`, () =>
      host.changes.snapshot(snapshot, { machine: id, kind: 'full' }),
    );
    expect(await host.nextWorker()).toMatchObject({ adopted: [id] });
    expect(await host.files('snapshots')).toEqual(step === 'published' ? [snapshot] : []);
    const machine = host.machine();
    await host.change(machine, 'two');
    await host.memory(machine).countsOn();
    expect(await host.says()).toEqual({ memory: 'two', disk: 'two' });
    const { layers, top } = machine.record;
    expect(await liveFiles(machine)).toEqual([...layers.map(({ file }) => file), top]);
    expect(await host.files('machines', id, 'run-1')).not.toContain('devices');
  });

  test.each(steps.restore)('goes on after a restore that came to the step %s', async (step) => {
    const host = await CountingHost.open();
    const machine = await host.create();
    await host.changes.snapshot(snapshot, { machine: id, kind: 'full' });
    await host.change(machine, 'two');
    await host.stopAt(`restore:${step}`, () => host.changes.restore(id, snapshot));
    const done = steps.restore.indexOf(step) >= steps.restore.indexOf('recorded');
    expect(await host.nextWorker()).toMatchObject({ adopted: [id] });
    const run = done ? '2' : '1';
    expect(host.processes()).toEqual([run]);
    expect(await host.files('machines', id)).toEqual(['machine.json', 'qemu.log', `run-${run}`]);
    await host.memory(host.machine()).countsOn();
    const says = done ? 'one' : 'two';
    expect(await host.says()).toEqual({ memory: says, disk: says });
  });

  test.each(steps.create)('keeps nothing, or all, of a creation that came to the step %s', async (step) => {
    const host = await CountingHost.open();
    await host.stopAt(`create:${step}`, () => host.changes.create(id, spec));
    await host.nextWorker();
    if (step === 'recorded') expect((await host.says()).memory).toBe(templateMark);
    else expect(await host.inUse()).toEqual(nothing);
  });

  test('believes no process that only has the name', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    await leave(host, { process: { ...machine.process.identity, startTime: 1 } });
    expect(await host.nextWorker()).toMatchObject({ lost: [id], adopted: [] });
    expect(isSameProcess(machine.process.identity)).toBe(false);
    expect(await host.diskSays()).toBe('one');
  });

  test('removes what changes that were cut off have left, and nothing else', async () => {
    const host = await CountingHost.open();
    await host.create();
    const left = ['hibernation.making', 'hibernation', 'run-2', 'run-7'];
    for (const name of left) await mkdir(host.path(name));
    await writeFile(host.path('.overlay-0123'), '');
    for (const file of ['devices', 'disk-4.qcow2', 'layer-9']) await writeFile(host.path('run-1', file), '');
    const own = await host.files('machines', id, 'run-1');
    await host.nextWorker();
    expect(await host.files('machines', id)).toEqual(['machine.json', 'qemu.log', 'run-1']);
    expect(await host.files('machines', id, 'run-1')).toEqual(
      own.filter((file) => !['devices', 'disk-4.qcow2', 'layer-9'].includes(file)),
    );
    await host.memory(host.machine()).countsOn();
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test('keeps the memory of a machine that hibernates, and ends the process that it had', async () => {
    const host = await CountingHost.open();
    await host.create();
    host.failAt('hibernate:recorded');
    await host.changes.hibernate(id).catch(() => undefined);
    await mkdir(host.path('hibernation.making'));
    expect(await host.nextWorker()).toMatchObject({ hibernated: [id] });
    expect(host.processes()).toEqual([]);
    expect(await host.files('machines', id)).toEqual(['hibernation', 'machine.json', 'qemu.log', 'run-1']);
    expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'memory' });
  });

  test('recovers each of several machines for itself', async () => {
    const host = await CountingHost.open();
    const other = 'sb-89abcdef';
    await host.create();
    await host.changes.create(other, spec);
    await writeFile(join(host.machines, other, 'machine.json'), 'nonsense');
    expect(await host.nextWorker()).toMatchObject({ adopted: [id], lost: [], cleaned: [] });
    expect(host.processes(other)).toEqual(['1']);
  });
});
