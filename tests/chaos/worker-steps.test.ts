import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import { type Change, FaultyWorker, stepsOf } from '../support/faults.ts';
import { expectNoRemains, recordOf } from '../support/remains.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { checkLog, goesOn, startWitness, type Testimony, testimony } from '../support/witness.ts';
import type { TestWorker } from '../support/worker.ts';

/** Every change that there is; the tests below go through their steps. */
const changes = {
  create: stepsOf('create'),
  hibernate: stepsOf('hibernate'),
  wake: stepsOf('wake'),
  snapshot: stepsOf('snapshot', 'switched'),
  restore: stepsOf('restore'),
  reboot: stepsOf('reboot'),
  boot: stepsOf('boot'),
  flatten: stepsOf('flatten'),
  abortFlatten: stepsOf('abortFlatten'),
  delete: stepsOf('delete'),
} satisfies Record<Change, ReturnType<typeof stepsOf>>;

describe('a worker that is killed', { timeout: 900_000 }, () => {
  let faulty: FaultyWorker;
  let worker: TestWorker;
  let machine: TestMachine;
  /** What its witness had told before. */
  let told: Testimony;
  /** A checkpoint of the machine. */
  let base: string;

  beforeAll(async () => {
    faulty = await FaultyWorker.start();
    ({ worker } = faulty);
    machine = await worker.create();
    await startWitness(machine);
    told = await testimony(machine);
    base = (await machine.snapshot()).id;
  });
  afterAll(() => faulty?.destroy());

  const layersOf = (of: TestMachine): number => recordOf(worker, of.id).layers.length;

  it('at any step of a hibernation leaves a machine that runs or hibernates, whole', async () => {
    for (const { step, done } of changes.hibernate) {
      const how = await faulty.fail(step, 'worker', () => machine.hibernate());
      expect((await machine.info()).state, how).toBe(done ? 'hibernated' : 'running');
      await expectNoRemains(worker);
      if (done) expect(await machine.wake(), how).toMatchObject({ startedFrom: 'memory' });
      told = await goesOn(machine, told);
    }
  });

  it('at any step of a wake leaves a machine that runs or hibernates, whole', async () => {
    for (const { step, done } of changes.wake) {
      await machine.hibernate();
      const how = await faulty.fail(step, 'worker', () => machine.wake());
      expect((await machine.info()).state, how).toBe(done ? 'running' : 'hibernated');
      await expectNoRemains(worker);
      expect(await machine.wake(), how).toMatchObject({ state: 'running', startedFrom: 'memory' });
      told = await goesOn(machine, told);
    }
    await expectNoRemains(worker);
  });

  it('at any step of a checkpoint leaves the machine running, and another try makes one that forks', async () => {
    for (const { step, done } of changes.snapshot) {
      const id = randomUUID();
      const take = () => worker.takeSnapshot(machine.id, 'full', id);
      const how = await faulty.fail(step, 'worker', take);
      expect(await machine.info(), how).toMatchObject({ state: 'running' });
      await expectNoRemains(worker);
      expect(
        (await worker.snapshots()).some((snapshot) => snapshot.id === id),
        how,
      ).toBe(step === 'snapshot:published');
      told = await goesOn(machine, told);
      expect(await take(), how).toMatchObject({ id });
      // Before the disk is switched, nothing has come of the first try.
      if (done) {
        const fork = await worker.create({ snapshot: id });
        expect(await fork.info(), how).toMatchObject({ startedFrom: 'memory' });
        await goesOn(fork, told);
        await fork.delete();
      }
      await worker.deleteSnapshot(id);
      // Its disk is not made flat meanwhile.
      if (layersOf(machine) >= 6) {
        await machine.restore(base);
        told = await testimony(machine);
      }
    }
    await expectNoRemains(worker);
  });

  it('at any step of a restore leaves the machine as before or as in the checkpoint', async () => {
    for (const { step, done } of changes.restore) {
      const { run } = recordOf(worker, machine.id);
      const how = await faulty.fail(step, 'worker', () => machine.restore(base));
      expect(await machine.info(), how).toMatchObject({ state: 'running', startedFrom: 'memory' });
      expect(recordOf(worker, machine.id).run, how).toBe(done ? run + 1 : run);
      await expectNoRemains(worker);
      told = await testimony(machine);
      await goesOn(machine, told);
    }
  });

  it('at any step of a fork leaves it there whole or not at all', async () => {
    for (const { step, done } of changes.create) {
      const id = `sb-${randomBytes(4).toString('hex')}`;
      const create = () => worker.create({ id, snapshot: base });
      const how = await faulty.fail(step, 'worker', create);
      expect(
        (await worker.machines()).some((other) => other.id === id),
        how,
      ).toBe(done);
      await expectNoRemains(worker);
      const fork = await create();
      expect(await fork.info(), how).toMatchObject({ state: 'running', startedFrom: 'memory' });
      await goesOn(fork, await testimony(fork));
      await fork.delete();
    }
    await expectNoRemains(worker);
  });

  it('at any step of a deletion leaves nothing', async () => {
    for (const [index, { step }] of changes.delete.entries()) {
      const fork = await worker.create({ snapshot: base });
      if (index % 2 === 1) await fork.hibernate();
      const how = await faulty.fail(step, 'worker', () => fork.delete());
      expect(
        (await worker.machines()).map(({ id }) => id),
        how,
      ).toEqual([machine.id]);
      await expectNoRemains(worker);
      await fork.delete();
    }
    await goesOn(machine, await testimony(machine));
  });

  /** Kills the worker where a checkpoint aborts the flattening that an earlier one has begun. */
  async function failAborting(id: string, step: string, checkpoint: () => Promise<unknown>): Promise<string> {
    let failing: Promise<string> | undefined;
    const aborts = (): boolean =>
      worker.log.split('\n').some((line) => line.includes(id) && line.includes('its disk is not flattened'));
    await faulty.hold(
      'flatten:begun',
      async () => {
        failing = faulty.fail(step, 'worker', checkpoint);
        failing.catch(() => undefined);
        await eventually('the second checkpoint aborts the flattening', aborts);
      },
      checkpoint,
    );
    return failing ?? 'nothing failed';
  }

  it('at any step of the flattening of a disk loses nothing, and another try completes it', async () => {
    const deep = await worker.create();
    await deep.output('head -c 64M /dev/urandom > /root/data; md5sum /root/data > /root/sum; sync');
    while (layersOf(deep) < 8) await worker.deleteSnapshot((await deep.snapshot('disk_only')).id);
    const { id: snapshot } = await deep.snapshot();
    await deep.delete();
    for (const { step } of [...changes.flatten, ...changes.abortFlatten]) {
      const fork = await worker.create({ snapshot });
      const checkpoint = (): Promise<unknown> => fork.snapshot('disk_only');
      const aborts = step.startsWith('abortFlatten');
      const how = await (aborts
        ? failAborting(fork.id, step, checkpoint)
        : faulty.fail(step, 'worker', checkpoint));
      expect(await fork.info(), how).toMatchObject({ state: 'running' });
      await expectNoRemains(worker);
      await fork.output('echo 3 > /proc/sys/vm/drop_caches; md5sum -c --quiet /root/sum');
      await fork.snapshot('disk_only');
      await eventually(`${how}; the disk is flat`, () => layersOf(fork) <= 3);
      await fork.hibernate();
      expect(await fork.wake(), how).toMatchObject({ startedFrom: 'memory' });
      await fork.output('echo 3 > /proc/sys/vm/drop_caches; md5sum -c --quiet /root/sum');
      await fork.delete();
      for (const { id } of await worker.snapshots())
        if (![base, snapshot].includes(id)) await worker.deleteSnapshot(id);
    }
    await worker.deleteSnapshot(snapshot);
    await expectNoRemains(worker);
  });

  it('at any step of a reboot or a boot leaves the disk, and another try brings it up', async () => {
    told = await testimony(machine);
    for (const { step } of changes.reboot) {
      const how = await faulty.fail(step, 'worker', () => machine.reboot(true));
      expect((await machine.info()).state, how).toBe('failed');
      await expectNoRemains(worker);
    }
    for (const { step } of changes.boot) {
      const { state } = await machine.info();
      const how = await faulty.fail(step, 'worker', () =>
        state === 'failed' ? machine.wake() : machine.reboot(true),
      );
      const up = ['boot:started', 'boot:answered'].includes(step);
      expect((await machine.info()).state, how).toBe(up ? 'running' : 'failed');
      await expectNoRemains(worker);
    }
    await eventually('it has booted', () => checkLog(machine, told.synced).then(() => true), {
      withinMs: 200_000,
    });
    await startWitness(machine);
    await goesOn(machine, await testimony(machine));
  });
});
