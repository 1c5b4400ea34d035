import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import { FaultyWorker, stepsOf } from '../support/faults.ts';
import { expectNoRemains, recordOf } from '../support/remains.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { checkLog, goesOn, startWitness, type Testimony, testimony } from '../support/witness.ts';
import type { TestWorker } from '../support/worker.ts';

let faulty: FaultyWorker;
let worker: TestWorker;
let machine: TestMachine;
/** What its witness had told before. */
let told: Testimony;
/** A checkpoint of the machine. */
let base: string;

async function begin(): Promise<void> {
  faulty = await FaultyWorker.start();
  ({ worker } = faulty);
  machine = await worker.create();
  await startWitness(machine);
  told = await testimony(machine);
  base = (await machine.snapshot()).id;
}

async function atRest(how: string): Promise<string> {
  return eventually(`${how}; it is at rest`, async () => {
    const { state } = await machine.info();
    return state === 'running' ? undefined : state;
  });
}

/** Boots a machine whose QEMU was killed: it says why, and what had been synced is on its disk. */
async function bootsFromDisk(how: string): Promise<void> {
  const { reason } = await machine.info();
  expect(reason, how).toContain('SIGKILL');
  const booted = { state: 'running', startedFrom: 'disk', coldBootReason: reason };
  expect(await machine.wake(), how).toMatchObject(booted);
  await checkLog(machine, told.synced);
}

describe('a QEMU that is killed', { timeout: 900_000 }, () => {
  beforeAll(begin);
  afterAll(() => faulty?.destroy());

  /** Puts the machine back to where it has its witness. */
  async function again(how: string): Promise<void> {
    expect(await machine.restore(base), how).toMatchObject({ state: 'running', startedFrom: 'memory' });
    told = await testimony(machine);
    await expectNoRemains(worker);
  }

  it('at any step of a hibernation leaves a machine that hibernates, or has failed with its disk', async () => {
    // Once its memory is taken, nothing is wanted of it any more.
    const enough = ['hibernate:taken', 'hibernate:sealed', 'hibernate:moved'];
    for (const { step, done } of stepsOf('hibernate')) {
      told = await testimony(machine);
      const how = await faulty.fail(step, 'machine', () => machine.hibernate());
      const state = await atRest(how);
      if (!enough.includes(step)) expect(state, how).toBe(done ? 'hibernated' : 'failed');
      await expectNoRemains(worker);
      if (state === 'hibernated') {
        expect(await machine.wake(), how).toMatchObject({ startedFrom: 'memory' });
        await goesOn(machine, told);
      } else {
        if (step === 'hibernate:stopped') await bootsFromDisk(how);
        await again(how);
      }
    }
  });

  it('at any step of a wake costs no memory that has not run', async () => {
    for (const { step, done } of stepsOf('wake')) {
      told = await testimony(machine);
      await machine.hibernate();
      const how = await faulty.fail(step, 'machine', () => machine.wake());
      expect(how).not.toMatch(/internal/);
      await eventually(`${how}; it is not between states`, () => expectNoRemains(worker).then(() => true));
      if (done) {
        expect(await atRest(how), how).toBe('failed');
        if (step === 'wake:recorded') await bootsFromDisk(how);
        await again(how);
      } else {
        expect(await machine.wake(), how).toMatchObject({ state: 'running', startedFrom: 'memory' });
        await goesOn(machine, told);
      }
    }
  });

  it('at any step of a checkpoint leaves its disk, and a checkpoint that is whole or not there', async () => {
    for (const { step } of stepsOf('snapshot')) {
      told = await testimony(machine);
      const id = randomUUID();
      const how = await faulty.fail(step, 'machine', () => worker.takeSnapshot(machine.id, 'full', id));
      expect(await atRest(how), how).toBe('failed');
      await expectNoRemains(worker);
      if ((await worker.snapshots()).some((snapshot) => snapshot.id === id)) {
        const fork = await worker.create({ snapshot: id });
        await goesOn(fork, told);
        await fork.delete();
        await worker.deleteSnapshot(id);
      }
      // What the record is ahead of, and what it names.
      if (['snapshot:recorded', 'snapshot:switched'].includes(step)) await bootsFromDisk(how);
      await again(how);
    }
  });

  it('at any step of a restore leaves a machine that can be restored', async () => {
    for (const { step } of stepsOf('restore')) {
      const how = await faulty.fail(step, 'machine', () => machine.restore(base));
      // The old process is dead before the new one is there, which takes its place.
      if (step === 'restore:files') expect((await machine.info()).state, how).toBe('running');
      else expect(await atRest(how), how).toBe('failed');
      await eventually(`${how}; nothing is left`, () => expectNoRemains(worker).then(() => true));
      await again(how);
    }
  });

  it('at any step of a fork leaves nothing of it', async () => {
    for (const { step } of stepsOf('create').filter(({ step: name }) => /loaded|answered/.test(name))) {
      const id = `sb-${randomBytes(4).toString('hex')}`;
      const how = await faulty.fail(step, 'machine', () => worker.create({ id, snapshot: base }));
      if (step === 'create:loaded') expect(how).toMatch(/refused/);
      await worker.machine(id).delete();
      await expectNoRemains(worker);
    }
    await goesOn(machine, await testimony(machine));
  });
});

describe('a disk that is full', { timeout: 900_000 }, () => {
  beforeAll(begin);
  afterAll(() => faulty?.destroy());

  const refused = /507 .*no_space/;

  it('at any write of a hibernation or a checkpoint leaves the machine running', async () => {
    const changes: [string[], () => Promise<unknown>][] = [
      [
        ['copied', 'stopped', 'taken', 'sealed', 'moved'].map((name) => `hibernate:${name}`),
        () => machine.hibernate(),
      ],
      [
        ['recorded', 'overlaid', 'copied', 'stopped', 'taken', 'running', 'gathered', 'sealed'].map(
          (name) => `snapshot:${name}`,
        ),
        () => worker.takeSnapshot(machine.id, 'full', randomUUID()),
      ],
    ];
    for (const [names, change] of changes)
      for (const step of names) {
        expect(await faulty.fail(step, 'full', change)).toMatch(refused);
        expect(await machine.info()).toMatchObject({ state: 'running' });
        await expectNoRemains(worker);
        told = await goesOn(machine, told);
      }
    expect(await worker.snapshots()).toHaveLength(1);
    await machine.hibernate();
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
    told = await goesOn(machine, told);
  });

  it('at any write of a wake leaves it hibernated', async () => {
    await machine.hibernate();
    for (const step of ['wake:linked', 'wake:loaded']) {
      expect(await faulty.fail(step, 'full', () => machine.wake())).toMatch(refused);
      expect(await machine.info()).toMatchObject({ state: 'hibernated' });
      await expectNoRemains(worker);
    }
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
    told = await goesOn(machine, told);
  });

  it('at any write of a restore or a fork changes nothing', async () => {
    const { run } = recordOf(worker, machine.id);
    for (const step of ['restore:files', 'restore:loaded'])
      expect(await faulty.fail(step, 'full', () => machine.restore(base))).toMatch(refused);
    for (const step of ['create:network', 'create:files', 'create:loaded', 'create:answered'])
      expect(await faulty.fail(step, 'full', () => worker.create({ snapshot: base }))).toMatch(refused);
    expect(recordOf(worker, machine.id).run).toBe(run);
    await expectNoRemains(worker);
    told = await goesOn(machine, told);
  });
});
