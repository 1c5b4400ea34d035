import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import { Random } from '../support/random.ts';
import { expectNoRemains, recordOf } from '../support/remains.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { checkLog, goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

const long = process.env['OPENCOMPUTER_TEST_LONG'] === '1';
const seed = Number(process.env['OPENCOMPUTER_TEST_SEED'] ?? Date.now() % 1_000_000);
/** Checkpoints after which a disk has so many layers that it is flattened: with those of the template, one too many. */
const untilFlattened = 7;
const rounds = Number(process.env['OPENCOMPUTER_TEST_SERIES'] ?? (long ? 250 : 3));
/** Layers of a disk with which another checkpoint waits for a flattening. */
const layersLimit = 32;
/** The longest pause before a checkpoint that is to meet the end of a flattening. */
const pauseMs = 400;
const minutes = 60_000;

describe(`checkpoints in quick succession (seed ${seed})`, () => {
  let worker: TestWorker;
  let machine: TestMachine;

  beforeAll(async () => {
    worker = await TestWorker.start();
    machine = await worker.create();
    await startWitness(machine);
  });
  afterAll(() => worker?.destroy());

  const layers = (): number => recordOf(worker, machine.id).layers.length;

  it(
    `${rounds} times as many as flatten the disk, a pause, and one more: none fails, and the machine goes on`,
    { timeout: (5 + rounds) * minutes },
    async () => {
      const random = new Random(seed);
      const { id } = machine;
      // What has to be copied differs, and with it when a flattening ends.
      await machine.begin(
        'while :; do head -c $((RANDOM % 8 + 1))M /dev/urandom > /root/noise; sync /root/noise; sleep 0.3; done',
      );
      for (let round = 1; round <= rounds; round++) {
        const told = await testimony(machine);
        const kind = round % 5 === 0 ? 'full' : 'disk_only';
        for (let taken = 0; taken < untilFlattened; taken++) await machine.snapshot(kind);
        // Real time: anywhere in the flattening.
        await delay(random.below(pauseMs));
        await machine.snapshot(kind);
        expect(await machine.info(), `round ${round}`).toMatchObject({ id, state: 'running' });
        await goesOn(machine, told);
        for (const snapshot of await worker.snapshots()) await worker.deleteSnapshot(snapshot.id);
        await eventually('the disk is flat again', () => layers() < untilFlattened);
      }
      await eventually('nothing is left over', () => expectNoRemains(worker).then(() => true));
      // What it is started from again is the flattened disk.
      const told = await testimony(machine);
      await machine.hibernate();
      expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
      await goesOn(machine, told);
      // From the disk, and not what the guest remembers of it.
      await machine.output('echo 3 > /proc/sys/vm/drop_caches');
      await checkLog(machine, told.synced);
    },
  );

  it('without a pause: the disk does not grow layers without end', { timeout: 10 * minutes }, async () => {
    const other = await worker.create();
    const most = async (): Promise<number> => {
      let longest = 0;
      for (let taken = 0; taken < 60; taken++) {
        const { id } = await other.snapshot('disk_only');
        longest = Math.max(longest, recordOf(worker, other.id).layers.length);
        await worker.deleteSnapshot(id);
      }
      return longest;
    };
    expect(await most()).toBeLessThanOrEqual(layersLimit + 1);
    await other.delete();
  });
});
