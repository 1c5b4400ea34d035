import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf } from '../../testing/scratch.ts';
import { type Step, steps } from '../steps.ts';
import { CountingHost, id, nothing, prepareCountingHosts, spec } from './testing/counting-host.ts';
import { templateMark } from './testing/counter-template.ts';

const snapshot = '8c5a6a52-3f0a-4c27-9f4b-2d8f4a1c9e10';

describe.skipIf((await missingTools()) !== undefined)('creating a machine', () => {
  prepareCountingHosts();

  test('restores the memory of its template and gives it an identity; its record comes last', async () => {
    const host = await CountingHost.open();
    const recorded: Partial<Record<Step, boolean>> = {};
    for (const step of steps.create)
      host.at(`create:${step}`, async () => {
        recorded[`create:${step}`] = (await host.record()) !== undefined;
      });
    host.at('create:loaded', () => expect(host.port.guest.handshakes).toEqual([]));
    expect(await host.changes.create(id, spec)).toMatchObject({
      id,
      state: 'running',
      startedFrom: 'memory',
    });

    expect(recorded).toEqual({
      'create:network': false,
      'create:files': false,
      'create:answered': false,
      'create:recorded': true,
    });
    const machine = host.machine();
    expect(await host.record()).toEqual({ ...machine.record, timings: expect.anything() as unknown });
    expect(machine.record).toMatchObject({ ready: true, spec, process: machine.process.identity });
    const identity = { hostname: spec.hostname, env: spec.env, machineId: machine.record.machineId };
    expect(host.port.guest.handshakes[0]).toMatchObject({ identity });
    expect((await host.says()).memory).toBe(templateMark);
    await host.memory(machine).countsOn();
    expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.1`], files: [id] });
  });

  test.each(steps.create)(
    'that fails at the step %s leaves nothing, and can be tried again',
    async (step) => {
      const host = await CountingHost.open();
      const mend = host.failAt(`create:${step}`);
      expect(await failureOf(host.changes.create(id, spec))).toMatchObject({
        code: 'start_failed',
        message: expect.stringContaining(`create:${step}`) as string,
      });
      expect(await host.inUse()).toEqual(nothing);
      expect(host.registry.list()).toEqual([]);
      mend();
      await host.changes.create(id, spec);
      expect((await host.says()).memory).toBe(templateMark);
    },
  );

  test('writes to no file that machines share', async () => {
    const host = await CountingHost.open();
    const one = await host.create();
    expect(await host.says(one)).toEqual({ memory: 'one', disk: 'one' });
    const other = 'sb-89abcdef';
    await host.changes.create(other, spec);
    expect(await host.says(host.machine(other))).toEqual({ memory: templateMark, disk: '' });
    expect(host.machine(other).record.machineId).not.toBe(one.record.machineId);
  });

  test('from a checkpoint without memory boots it from its disk', async () => {
    const host = await CountingHost.open();
    await host.create();
    await host.changes.snapshot(snapshot, { machine: id, kind: 'disk_only' });
    const fork = 'sb-89abcdef';
    expect(await host.changes.create(fork, { ...spec, snapshot })).toMatchObject({ startedFrom: 'disk' });
    const machine = host.machine(fork);
    await host.memory(machine).countsOn();
    expect(await host.says(machine)).toEqual({ memory: '', disk: 'one' });
    expect(machine.record).toMatchObject({ origin: snapshot, ready: true });
  });

  test('that is there returns it where it was asked for the same, and is refused otherwise', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    await host.changes.create(id, spec);
    expect(host.machine()).toBe(machine);
    expect(host.trace).toEqual([]);
    const wider = host.changes.create(id, { ...spec, memoryMB: 256 });
    expect(await failureOf(wider)).toMatchObject({ code: 'conflict' });
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test('does not touch files that another machine left under its id', async () => {
    const host = await CountingHost.open();
    const file = join(host.path(), 'disk');
    await mkdir(host.path());
    await writeFile(file, 'of somebody');
    expect(await failureOf(host.changes.create(id, spec))).toMatchObject({ code: 'conflict' });
    expect(existsSync(file)).toBe(true);
    expect(await host.inUse()).toEqual({ ...nothing, files: [id] });
  });
});
