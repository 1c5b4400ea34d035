import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { copyWorkerCache } from '../support/cache-copy.ts';
import { DiskImage } from '../support/disk-image.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { type Change, FaultyWorker, stepsOf } from '../support/faults.ts';
import { expectNoRemains } from '../support/remains.ts';
import type { SocketAnswer } from '../support/socket-call.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { goesOn, startWitness, type Testimony, testimony } from '../support/witness.ts';
import { testShape, type TestWorker } from '../support/worker.ts';

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

/** The file system of the worker is filled to its last block while a change is held at one of its steps. */
describe('a disk that fills up', { timeout: 900_000 }, () => {
  let disk: DiskImage;
  let faulty: FaultyWorker;
  let worker: TestWorker;
  let machine: TestMachine;
  /** A checkpoint of the machine. */
  let base: string;
  /** What its witness had told before. */
  let told: Testimony;

  beforeAll(async () => {
    disk = await DiskImage.mount(8192);
    const cacheDir = join(disk.directory, 'cache');
    await copyWorkerCache(cacheDir);
    faulty = await FaultyWorker.start({ dataDir: join(disk.directory, 'd'), cacheDir });
    ({ worker } = faulty);
    machine = await worker.create();
    await startWitness(machine);
    told = await testimony(machine);
    base = (await machine.snapshot()).id;
  }, 300_000);
  afterEach(() => disk.free());
  afterAll(async () => {
    await disk?.free();
    await faulty?.destroy();
    await disk?.unmount();
  });

  const hibernate = () => machine.call('POST', '/hibernate');
  const wake = () => machine.call('POST', '/wake');
  const checkpoint = (id: string) => () =>
    worker.call('PUT', `/v1/snapshots/${id}`, { json: { machine: machine.id, kind: 'full' } });
  const restore = () => machine.call('POST', '/restore', { json: { snapshot: base } });
  const create = (id: string, more: object) => () =>
    worker.call('PUT', `/v1/machines/${id}`, { json: { ...testShape, hostname: id, env: {}, ...more } });

  /** What is left free when the disk is filled: one write more goes through, or none. */
  const leftovers = [0, 8 * kibibyte];

  /**
   * Makes a change on a disk that fills up at each step in turn. What is refused names the cause; what is done is
   * done although the disk is full, and what is durable stays. Then there is space again, and `after` looks.
   */
  async function fillAtEach(
    change: Change,
    make: () => () => Promise<SocketAnswer>,
    after: (how: string, done: boolean) => Promise<void>,
    durable?: string,
  ): Promise<void> {
    for (const [index, { step, done }] of stepsOf(change, durable).entries()) {
      const leave = leftovers[index % leftovers.length] ?? 0;
      const { status, body, text } = await faulty.hold(step, () => disk.fillWholly(leave), make());
      const how = `${step}, ${leave} bytes left: ${status} ${text.slice(0, 300)}`;
      if (status >= 300)
        expect({ status, body }, how).toMatchObject({ status: 507, body: { code: 'no_space' } });
      await disk.free();
      await after(how, done || status < 300);
    }
  }

  /** A machine that the full disk has stopped stands still for a moment after there is space again. */
  const stateOf = (how: string) => eventually(how, async () => (await machine.info()).state);

  async function goesOnAfter(how: string): Promise<void> {
    expect(await stateOf(how), how).toBe('running');
    await eventually(`${how}; nothing is left over`, () => expectNoRemains(worker).then(() => true));
    await eventually(`${how}; it goes on`, () => testimony(machine));
    told = await goesOn(machine, told);
  }

  it('while the memory is copied refuses a hibernation and a checkpoint', async () => {
    for (const [change, leave] of [
      [hibernate, 24 * mebibyte],
      [checkpoint(randomUUID()), 24 * mebibyte],
      [checkpoint(randomUUID()), 64 * kibibyte],
    ] as const) {
      await disk.fillWholly(leave);
      expect(await change()).toMatchObject({ status: 507, body: { code: 'no_space' } });
      await disk.free();
      await goesOnAfter(`${leave} bytes left`);
    }
  });

  it('at any step of a hibernation leaves a machine that runs or hibernates, whole', async () => {
    await fillAtEach(
      'hibernate',
      () => hibernate,
      async (how, done) => {
        expect(await stateOf(how), how).toBe(done ? 'hibernated' : 'running');
        if (done) expect(await machine.wake(), how).toMatchObject({ startedFrom: 'memory' });
        await goesOnAfter(how);
      },
    );
  });

  it('at any step of a wake leaves a machine that runs or hibernates, whole', async () => {
    for (const { step, done } of stepsOf('wake')) {
      await machine.hibernate();
      const { status, body, text } = await faulty.hold(step, () => disk.fillWholly(), wake);
      const how = `${step}: ${status} ${text.slice(0, 300)}`;
      if (status >= 300)
        expect({ status, body }, how).toMatchObject({ status: 507, body: { code: 'no_space' } });
      await disk.free();
      expect(await stateOf(how), how).toBe(done ? 'running' : 'hibernated');
      expect(await machine.wake(), how).toMatchObject({ startedFrom: 'memory' });
      await goesOnAfter(how);
    }
  });

  it('at any step of a checkpoint leaves the machine running, and a checkpoint that is whole or not there', async () => {
    let id = '';
    await fillAtEach(
      'snapshot',
      () => checkpoint((id = randomUUID())),
      async (how, done) => {
        await goesOnAfter(how);
        expect((await worker.snapshots()).map((snapshot) => snapshot.id).toSorted(), how).toEqual(
          (done ? [base, id] : [base]).toSorted(),
        );
        if (!done) return;
        const fork = await worker.create({ snapshot: id });
        await goesOn(fork, await testimony(fork));
        await fork.delete();
        await worker.deleteSnapshot(id);
      },
      'published',
    );
  });

  it('at any step of a restore leaves the machine as before or as in the checkpoint', async () => {
    await fillAtEach(
      'restore',
      () => restore,
      async (how, done) => {
        if (done) told = await eventually(how, () => testimony(machine));
        await goesOnAfter(how);
      },
    );
  });

  it('at any step of a create or a fork leaves it there whole or not at all', async () => {
    for (const more of [{ snapshot: base }, {}]) {
      let id = '';
      await fillAtEach(
        'create',
        () => create((id = `sb-${randomBytes(4).toString('hex')}`), more),
        async (how, done) => {
          const there = (await worker.machines()).some((other) => other.id === id);
          // One that stands still when all else is done is there, although that is the answer.
          if (!/stands still/.test(how)) expect(there, how).toBe(done);
          await goesOnAfter(how);
          if (!there) return;
          expect(await eventually(how, () => worker.machine(id).output('echo well')), how).toBe('well');
          await worker.machine(id).delete();
        },
      );
    }
  });
});
