import { kill } from '@opencomputer/worker/processes';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRecord, writeRecord } from '../../packages/worker/src/machine/record.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { expectNoRemains } from '../support/remains.ts';
import { checkLog, goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

describe('after a restart of the worker', { timeout: 900_000 }, () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('a process that cannot be taken over is ended before its disk boots again', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const { synced } = await testimony(machine);
    const [process] = worker.processes().values();
    if (process === undefined) throw new Error('it has no process');
    // It lives, but answers nobody.
    kill(process, 'SIGSTOP');
    await worker.crash();
    await worker.startAgain();
    expect(await machine.info()).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('cannot be taken over'),
    });
    expect([...worker.processes().values()]).toEqual([process]);
    expect(await machine.wake()).toMatchObject({
      state: 'running',
      startedFrom: 'disk',
      coldBootReason: expect.stringContaining('cannot be taken over'),
    });
    expect([...worker.processes().values()]).not.toContainEqual(process);
    await checkLog(machine, synced);
    await expectNoRemains(worker);
    await machine.delete();
  });

  it('memory of another QEMU is not restored: the machine boots from its disk and says why', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const { synced } = await testimony(machine);
    await machine.hibernate();
    await worker.crash();
    const record = await readRecord(worker.directory(machine.id));
    if (record?.saved === undefined) throw new Error('what saved the memory is not written down');
    const compatibility = { ...record.saved.compatibility, qemu: '6.0.0' };
    await writeRecord(worker.directory(machine.id), {
      ...record,
      saved: { ...record.saved, compatibility },
    });
    await worker.startAgain();
    const { coldBootReason, startedFrom } = await machine.wake();
    expect(startedFrom).toBe('disk');
    expect(coldBootReason).toMatch(/another QEMU \(6\.0\.0, here \d/);
    await checkLog(machine, synced);
    await expectNoRemains(worker);
    await machine.delete();
  });

  it('memory that an older worker saved, which did not say with what, is restored', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    await machine.hibernate();
    await worker.crash();
    const record = await readRecord(worker.directory(machine.id));
    if (record === undefined) throw new Error('there is no record');
    const { saved: _saved, ...older } = record;
    await writeRecord(worker.directory(machine.id), older);
    await worker.startAgain();
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
    await goesOn(machine, told);
    await eventually('nothing is left over', () => expectNoRemains(worker).then(() => true));
    await machine.delete();
  });
});
