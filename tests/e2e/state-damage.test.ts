import { randomUUID } from 'node:crypto';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import type { TestMachine } from '../support/test-machine.ts';
import { goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

/** The guest agent stands still until the guest itself lets it go on. */
async function silence(machine: TestMachine, seconds: number): Promise<void> {
  await machine.begin(
    `agent=$(pgrep -o -f opencomputer/agent); sleep 1; kill -STOP $agent; sleep ${seconds}; kill -CONT $agent`,
  );
  await eventually('the agent is silent', async () => {
    try {
      await machine.ask('GET', '/stats', { withinMs: 2000 });
      return false;
    } catch (error) {
      return ['TimeoutError', 'AbortError'].includes((error as Error).name);
    }
  });
}

/** Each machine of these is for itself; most of their time goes into boots and into waiting for who does not answer. */
describe.concurrent('saved memory', { timeout: 900_000 }, () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
    // Has the template built, once for all.
    await (await worker.create()).delete();
  });
  afterAll(() => worker.destroy());

  it.each([
    ['memory is cut off', 'ram', (file: string) => truncate(file, 100 * 1024 * 1024), /ram has \d+ bytes/],
    ['devices are missing', 'devices', (file: string) => rm(file), /devices is missing/],
  ])('that is damaged makes the machine boot, and say why: %s', async (_name, file, damage, reason) => {
    const machine = await worker.create();
    await machine.output('echo kept > /root/note; echo lost > /dev/shm/note');
    await machine.hibernate();
    await damage(join(worker.directory(machine.id), 'hibernation', file));
    const info = await machine.wake();
    expect(info).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect(info.coldBootReason).toMatch(/^its memory could not be restored: /);
    expect(info.coldBootReason).toMatch(reason);
    expect(await machine.output('cat /root/note; test ! -e /dev/shm/note')).toBe('kept');
    // It is as good as any other.
    await machine.hibernate();
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
    expect(await machine.output('cat /root/note')).toBe('kept');
    expect([...worker.processes().keys()].filter((name) => name.startsWith(machine.id))).toHaveLength(1);
    await machine.delete();
  });

  it('of a guest that does not answer is that of any other', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    // Longer than the host waits for an answer.
    await silence(machine, 90);
    await machine.hibernate();
    const lines = worker.log.split('\n').filter((line) => line.includes(machine.id));
    expect(lines.join('\n')).toContain('the guest does not come to rest');
    expect(await machine.wake()).toMatchObject({ state: 'running', startedFrom: 'memory' });
    await goesOn(machine, told);
    await machine.delete();
  });

  it('of a guest that does not answer is in a checkpoint that says so, and is refused on demand', async () => {
    const machine = await worker.create();
    await silence(machine, 600);
    const json = { machine: machine.id, kind: 'disk_only', requireQuiesced: true };
    const refused = await worker.call('PUT', `/v1/snapshots/${randomUUID()}`, { json });
    expect(refused).toMatchObject({ status: 500, body: { code: 'snapshot_failed' } });
    expect(refused.text).toMatch(/did not come to rest/);
    expect(await worker.snapshots()).toEqual([]);
    expect(await machine.info()).toMatchObject({ state: 'running' });
    const { id } = await machine.snapshot();
    expect(await worker.snapshots()).toMatchObject([{ id, quiesced: false }]);
    await machine.delete();
    await worker.deleteSnapshot(id);
  });
});

describe('a damaged record', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('does not keep its machine from being deleted', async () => {
    const machine = await worker.create();
    await machine.hibernate();
    await worker.crash();
    const record = join(worker.directory(machine.id), 'machine.json');
    const text = await readFile(record, 'utf8');
    await writeFile(record, text.slice(0, text.length / 2));
    await worker.startAgain();
    expect(worker.entries('machines')).toEqual([machine.id]);
    await machine.delete();
    expect(worker.entries('machines')).toEqual([]);
  });
});
