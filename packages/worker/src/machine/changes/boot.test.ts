import { readFile, stat } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { endProcess } from '../../qemu/process.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf, until } from '../../testing/scratch.ts';
import { type Step, steps } from '../steps.ts';
import { CountingHost, id, prepareCountingHosts, shape } from './testing/counting-host.ts';

/** A host with a machine whose process was killed. */
async function killed(): Promise<CountingHost> {
  const host = await CountingHost.open();
  const machine = await host.create();
  await endProcess(machine.process.identity);
  await until(() => host.trace.some((entry) => entry.startsWith('failed')));
  host.trace.length = 0;
  return host;
}

describe.skipIf((await missingTools()) !== undefined)('booting a machine that has failed', () => {
  prepareCountingHosts();

  test('starts from its disk with empty memory, and says why', async () => {
    const host = await killed();
    expect(host.registry.info(id)).toMatchObject({ state: 'failed' });
    const reason = host.registry.findDormant(id)?.reason;
    expect(reason).toContain('SIGKILL');
    expect(await host.inUse()).toEqual({ slots: 0, machines: 0, processes: [], files: [id] });
    const seen: Partial<Record<Step, unknown>> = {};
    for (const step of steps.boot)
      host.at(`boot:${step}`, async () => {
        const record = await host.record();
        seen[`boot:${step}`] = { from: record?.startedFrom, processes: host.processes().length };
      });
    expect(await host.changes.wake(id)).toMatchObject({ startedFrom: 'disk', coldBootReason: reason });

    expect(seen).toEqual({
      'boot:prepared': { from: 'memory', processes: 0 },
      'boot:recorded': { from: 'disk', processes: 0 },
      'boot:started': { from: 'disk', processes: 1 },
      'boot:answered': { from: 'disk', processes: 1 },
    });
    const machine = host.machine();
    await host.memory(machine).countsOn();
    expect(await host.says()).toEqual({ memory: '', disk: 'one' });
    expect(await host.record()).toEqual(machine.record);
    expect(machine.record).toMatchObject({ run: 1, process: machine.process.identity });
    // Its own boot files, and memory of its own size.
    const kernel = await readFile(host.path('run-1', 'kernel'));
    expect(kernel.equals(await readFile(host.setup.images.kernel))).toBe(true);
    expect((await stat(host.path('run-1', 'ram'))).size).toBe(shape.memoryMB * 1024 * 1024);
    expect(await host.inUse()).toEqual({ slots: 1, machines: 1, processes: [`${id}.1`], files: [id] });
  });

  test.each(['prepared', 'recorded'] as const)(
    'that fails at the step %s keeps its disk, and can be tried again',
    async (step) => {
      const host = await killed();
      const mend = host.failAt(`boot:${step}`);
      expect(await failureOf(host.changes.wake(id))).toMatchObject({ code: 'start_failed' });
      expect(host.registry.info(id)).toMatchObject({ state: 'failed' });
      expect(await host.inUse()).toEqual({ slots: 0, machines: 0, processes: [], files: [id] });
      expect(await host.diskSays()).toBe('one');
      mend();
      expect(await host.changes.wake(id)).toMatchObject({ state: 'running' });
      expect(await host.says()).toEqual({ memory: '', disk: 'one' });
    },
  );

  test('whose guest does not answer goes on running', async () => {
    const host = await killed();
    host.failAt('boot:answered');
    expect((await failureOf(host.changes.wake(id))).message).toContain('runs, but does not answer');
    expect(host.registry.info(id)).toMatchObject({ state: 'running' });
    await host.memory(host.machine()).countsOn();
  });
});
