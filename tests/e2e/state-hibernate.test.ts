import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MachineInfo } from '@opencomputer/protocol';
import { goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

describe('hibernate and wake', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('share one wake among callers at once, and one hibernation', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    const slept = await Promise.all(Array.from({ length: 4 }, () => machine.hibernate()));
    expect(new Set(slept.map(({ sizeBytes }) => sizeBytes)).size).toBe(1);
    const woken = await Promise.all(Array.from({ length: 8 }, () => machine.wake()));
    expect(new Set(woken.map(({ startedAt }) => startedAt)).size).toBe(1);
    expect(worker.processes().size).toBe(1);
    await goesOn(machine, told);
    await machine.delete();
  });

  it('let operations meanwhile either succeed or say that it hibernates', async () => {
    const machine = await worker.create();
    const waiting = machine.call('POST', '/exec', {
      json: { id: '00000001', argv: ['sleep', '2'], waitMs: 30_000 },
    });
    await machine.output('true');
    const sleeping = machine.hibernate();
    const meanwhile = await Promise.all([
      waiting,
      machine.call('GET', '/stats'),
      machine.call('PUT', '/files?path=/root/late', { body: Buffer.from('late') }),
      machine.call('POST', '/exec', { json: { id: '00000002', argv: ['true'] } }),
    ]);
    await sleeping;
    for (const answer of meanwhile)
      if (answer.status >= 300)
        expect({ status: answer.status, body: answer.body }).toMatchObject({
          status: 409,
          body: { code: 'hibernated' },
        });
    await machine.wake();
    // The command that was waited for has gone on.
    expect(await machine.end('00000001')).toMatchObject({ exitCode: 0 });
    await machine.delete();
  });

  it('wake after the worker was started anew', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    await machine.hibernate();
    await worker.crash();
    await worker.startAgain();
    expect(await machine.info()).toMatchObject({ state: 'hibernated' });
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' } satisfies Partial<MachineInfo>);
    await goesOn(machine, told);
    await machine.delete();
  });
});
