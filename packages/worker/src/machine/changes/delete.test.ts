import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { isSameProcess } from '../../host/processes.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf } from '../../testing/scratch.ts';
import { type Step, steps } from '../steps.ts';
import { CountingHost, id, nothing, prepareCountingHosts, spec } from './testing/counting-host.ts';
import { templateMark } from './testing/counter-template.ts';

const snapshot = '8c5a6a52-3f0a-4c27-9f4b-2d8f4a1c9e10';

describe.skipIf((await missingTools()) !== undefined)('deleting a machine', () => {
  prepareCountingHosts();

  test('notes it first, ends the process, then removes the files; a snapshot keeps its own', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    await host.changes.snapshot(snapshot, { machine: id, kind: 'full' });
    const seen: Partial<Record<Step, unknown>> = {};
    for (const step of steps.delete)
      host.at(`delete:${step}`, async () => {
        const running = isSameProcess(machine.process.identity);
        seen[`delete:${step}`] = { deleting: (await host.record())?.deleting, running };
      });
    await host.changes.delete(id);

    expect(seen).toEqual({
      'delete:marked': { deleting: true, running: true },
      'delete:ended': { deleting: true, running: false },
      'delete:moved': { deleting: undefined, running: false },
    });
    expect(await host.inUse()).toEqual(nothing);
    expect(host.registry.list()).toEqual([]);
    expect(host.trace.filter((entry) => entry.startsWith('failed'))).toEqual([]);
    await host.changes.create(id, { ...spec, snapshot });
    expect(await host.says()).toEqual({ memory: 'one', disk: 'one' });
  });

  test.each(steps.delete.slice(0, -1))(
    'that fails at the step %s is finished by the next try',
    async (step) => {
      const host = await CountingHost.open();
      await host.create();
      const mend = host.failAt(`delete:${step}`);
      await failureOf(host.changes.delete(id));
      expect(await host.record()).toMatchObject({ deleting: true });
      mend();
      await host.changes.delete(id);
      expect(await host.inUse()).toEqual(nothing);
      await host.changes.create(id, spec);
      expect((await host.says()).memory).toBe(templateMark);
    },
  );

  test('that was begun is finished by the next worker', async () => {
    const host = await CountingHost.open();
    await host.create();
    host.failAt('delete:marked');
    await failureOf(host.changes.delete(id));
    expect(await host.nextWorker()).toMatchObject({ cleaned: [id], adopted: [] });
    expect(await host.inUse()).toEqual(nothing);
  });

  test('that hibernates removes its memory, too', async () => {
    const host = await CountingHost.open();
    await host.create();
    await host.changes.hibernate(id);
    await host.changes.delete(id);
    expect(await host.inUse()).toEqual(nothing);
    expect(host.registry.list()).toEqual([]);
  });

  test('that is not there is fine', async () => {
    const host = await CountingHost.open();
    await host.changes.delete(id);
    expect(await host.inUse()).toEqual(nothing);
  });

  test('whose record is damaged ends a process that nobody knows of', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    await writeFile(host.path('machine.json'), '{"format": 1, "id": "sb-0');
    await host.nextWorker();
    expect(host.registry.list()).toEqual([]);
    expect(isSameProcess(machine.process.identity)).toBe(true);
    await host.changes.delete(id);
    expect(isSameProcess(machine.process.identity)).toBe(false);
    expect(existsSync(host.path())).toBe(false);
  });
});
