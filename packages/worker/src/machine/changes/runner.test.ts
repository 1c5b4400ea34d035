import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { machineFiles } from '../../qemu/argv.ts';
import { endProcess } from '../../qemu/process.ts';
import { runState } from '../../qemu/launch.ts';
import { QmpTimeout } from '../../qemu/qmp.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf } from '../../testing/scratch.ts';
import { Gate } from '../gate.ts';
import { begin, type Run, type Runner, untilAnswered } from './runner.ts';
import { CountingHost, id, prepareCountingHosts } from './testing/counting-host.ts';

const place = { step: 'wake:answered', id } as const;

/** A run whose files are in place: that of a machine which has been ended. */
async function prepared(): Promise<{ host: CountingHost; runner: Runner; run: Run; devices: string }> {
  const host = await CountingHost.open();
  const machine = await host.create();
  machine.expectEnd();
  await endProcess(machine.process.identity);
  const { directory, slot } = machine;
  const { process: _process, ...record } = machine.record;
  const { directory: template } = await host.templates.get('base', record.spec);
  const run = { directory, record, slot, gate: new Gate() };
  return { host, runner: host.changes.runner, run, devices: join(template, machineFiles.devices) };
}

describe.skipIf((await missingTools()) !== undefined)('a run', () => {
  prepareCountingHosts();

  test('stands still when its state is loaded, until it begins; its guest gets its identity at once', async () => {
    const { host, runner, run, devices } = await prepared();
    const machine = await runner.restore(run, devices);
    expect(await runState(machine.qmp)).not.toBe('running');
    const memory = host.memory(machine);
    const count = await memory.count();
    expect(await memory.readMark()).toBe('template');
    expect(machine.record.process).toEqual(machine.process.identity);
    host.port.guest.handshakes.length = 0;
    expect(await memory.count()).toBe(count);
    await begin(machine, 'template');
    expect(host.port.guest.handshakes.length).toBeGreaterThan(0);
    await memory.countsOn();
  });

  test('whose state cannot be loaded fails, and leaves no process', async () => {
    const { host, runner, run } = await prepared();
    const nonsense = host.path('nonsense');
    await writeFile(nonsense, 'no state of devices');
    await failureOf(runner.restore(run, nonsense));
    expect(host.processes()).toEqual([]);
  });

  test('whose state is not loaded in time is ended', async () => {
    const { host, runner, run, devices } = await prepared();
    host.answerLate('query-status');
    expect(await failureOf(runner.restore(run, devices))).toBeInstanceOf(QmpTimeout);
    expect(host.processes()).toEqual([]);
  });

  test('whose program does not start says why, and leaves no process', async () => {
    const { host, runner, run, devices } = await prepared();
    const layers = [{ file: 'layer-9', format: 'raw' }] as const;
    const started = runner.restore({ ...run, record: { ...run.record, layers: [...layers] } }, devices);
    expect((await failureOf(started)).message).toMatch(/QEMU did not start: .*layer-9/s);
    expect(host.processes()).toEqual([]);
  });

  test('boots with empty memory, whatever was there', async () => {
    const { host, runner, run } = await prepared();
    expect(await host.files('machines', id, 'run-1')).toContain('ram.sums');
    const machine = await runner.boot(run);
    const memory = host.memory(machine);
    expect(await memory.readMark()).toBe('');
    await memory.countsOn();
    expect(await host.files('machines', id, 'run-1')).not.toContain('ram.sums');
  });
});

describe('a start that waits for its guest', () => {
  it.each([
    ['answers', () => Promise.resolve(), undefined],
    ['does not answer', () => Promise.reject(new Error('no handshake')), 'no handshake'],
  ])('cleans up once it %s', async (_name, answer, failure) => {
    const done: string[] = [];
    const waited = untilAnswered(
      answer().finally(() => done.push('over')),
      place,
      async () => void done.push('cleaned up'),
    );
    if (failure === undefined) await waited;
    else expect((await failureOf(waited)).message).toBe(failure);
    expect(done).toEqual(['over', 'cleaned up']);
  });
});
