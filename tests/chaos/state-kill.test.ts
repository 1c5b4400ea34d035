import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { Random } from '../support/random.ts';
import { expectNoRemains } from '../support/remains.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { checkLog, goesOn, startWitness, type Testimony, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

/** How often each change is disturbed. */
const rounds = Number(process.env['OPENCOMPUTER_TEST_ROUNDS'] ?? 5);
/** A boot takes long under emulation. */
const bootRounds = Math.ceil(rounds / 3);
const limitMs = rounds * 120_000;
const seed = Number(process.env['OPENCOMPUTER_TEST_SEED'] ?? Date.now() % 1_000_000);
const random = new Random(seed);

let worker: TestWorker;
let machine: TestMachine;
/** What its witness had told before. */
let told: Testimony;

beforeAll(async () => {
  worker = await TestWorker.start();
});
afterAll(() => worker.destroy());
beforeEach(async () => {
  machine = await worker.create();
  await startWitness(machine);
  told = await testimony(machine);
});
afterEach(async () => {
  await worker.startAgainIfEnded();
  for (const { id } of await worker.machines()) await worker.machine(id).delete();
  for (const { id } of await worker.snapshots()) await worker.deleteSnapshot(id);
});

/** What a call took that nobody disturbed, in milliseconds. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Begins a change and does something to it at a random moment of the time that it takes. What became of the call does not matter. */
async function disturb(
  takesMs: number,
  change: () => Promise<unknown>,
  disturbance: () => Promise<unknown>,
): Promise<string> {
  const afterMs = random.below(Math.ceil(takesMs));
  const changing = change().then(
    () => 'done',
    (error: unknown) => `refused: ${(error as Error).message.slice(0, 200)}`,
  );
  await delay(afterMs);
  await disturbance();
  return `after ${afterMs} of ${Math.round(takesMs)} ms: ${await changing}`;
}

async function restartWorker(): Promise<void> {
  await worker.crash();
  await worker.startAgain();
}

/** A machine whose disk alone survived: what had been synced is there. Its witness begins anew. */
async function survivesOnDisk(): Promise<void> {
  await checkLog(machine, told.synced);
  await startWitness(machine);
}

function layersOf({ id }: TestMachine): number {
  const record = readFileSync(join(worker.directory(id), 'machine.json'), 'utf8');
  return (JSON.parse(record) as { layers: unknown[] }).layers.length;
}

/** A machine whose disk has as many layers as it may have before it is made flat. */
async function forkOfManyLayers(): Promise<TestMachine> {
  const fork = await worker.create();
  while (layersOf(fork) < 8) await worker.deleteSnapshot((await fork.snapshot('disk_only')).id);
  return fork;
}

describe(`after the worker was killed in the middle of (seed ${seed})`, { timeout: limitMs }, () => {
  it('a hibernation, the machine runs or hibernates, whole', async () => {
    const takesMs = await timed(() => machine.hibernate());
    await machine.wake();
    for (let round = 0; round < rounds; round++) {
      const how = await disturb(
        takesMs,
        () => machine.hibernate(),
        () => worker.crash(),
      );
      await worker.startAgain();
      const { state } = await machine.info();
      expect(['running', 'hibernated'], how).toContain(state);
      await expectNoRemains(worker);
      if (state === 'running') told = await goesOn(machine, told);
      await machine.hibernate();
      expect(await machine.wake(), how).toMatchObject({ state: 'running', startedFrom: 'memory' });
      told = await goesOn(machine, told);
      await expectNoRemains(worker);
    }
  });

  it('a wake, the machine runs or hibernates, whole', async () => {
    await machine.hibernate();
    const takesMs = await timed(() => machine.wake());
    for (let round = 0; round < rounds; round++) {
      await machine.hibernate();
      const how = await disturb(
        takesMs,
        () => machine.wake(),
        () => worker.crash(),
      );
      await worker.startAgain();
      expect(['running', 'hibernated'], how).toContain((await machine.info()).state);
      await expectNoRemains(worker);
      expect(await machine.wake(), how).toMatchObject({ state: 'running', startedFrom: 'memory' });
      told = await goesOn(machine, told);
      await expectNoRemains(worker);
    }
  });

  it('a checkpoint, the machine runs and another try makes a checkpoint that forks', async () => {
    let last = randomUUID();
    const takesMs = await timed(() => worker.takeSnapshot(machine.id, 'full', last));
    for (let round = 0; round < rounds; round++) {
      await worker.deleteSnapshot(last);
      const id = randomUUID();
      last = id;
      const take = () => worker.takeSnapshot(machine.id, 'full', id);
      const how = await disturb(takesMs, take, () => worker.crash());
      await worker.startAgain();
      expect(await machine.info(), how).toMatchObject({ state: 'running' });
      await expectNoRemains(worker);
      told = await goesOn(machine, told);
      expect(await take(), how).toMatchObject({ id });
      const fork = await worker.create({ snapshot: id });
      await goesOn(fork, told);
      await fork.delete();
      told = await goesOn(machine, told);
      await expectNoRemains(worker);
    }
    await worker.deleteSnapshot(last);
  });

  it('a restore, the machine is as before or as in the checkpoint', async () => {
    const { id } = await machine.snapshot();
    const takesMs = await timed(() => machine.restore(id));
    for (let round = 0; round < rounds; round++) {
      const how = await disturb(
        takesMs,
        () => machine.restore(id),
        () => worker.crash(),
      );
      await worker.startAgain();
      expect(await machine.info(), how).toMatchObject({ state: 'running' });
      await expectNoRemains(worker);
      await goesOn(machine, told);
      expect(await machine.restore(id), how).toMatchObject({ state: 'running', startedFrom: 'memory' });
      await goesOn(machine, told);
      await expectNoRemains(worker);
    }
    await worker.deleteSnapshot(id);
  });

  it('a fork, it is there whole or not at all', async () => {
    const { id: snapshot } = await machine.snapshot();
    const first = await (async () => {
      const started = performance.now();
      const fork = await worker.create({ snapshot });
      return { fork, takesMs: performance.now() - started };
    })();
    await first.fork.delete();
    for (let round = 0; round < rounds; round++) {
      const id = `sb-${randomBytes(4).toString('hex')}`;
      const how = await disturb(
        first.takesMs,
        () => worker.create({ id, snapshot }),
        () => worker.crash(),
      );
      await worker.startAgain();
      await expectNoRemains(worker);
      const fork = await worker.create({ id, snapshot });
      expect(await fork.info(), how).toMatchObject({ state: 'running', startedFrom: 'memory' });
      await goesOn(fork, told);
      await fork.delete();
      await expectNoRemains(worker);
    }
    await worker.deleteSnapshot(snapshot);
  });

  it('a deletion, it is gone or can be deleted', async () => {
    const { id: snapshot } = await machine.snapshot();
    const takesMs = (await timed(async () => (await worker.create({ snapshot })).delete())) / 2;
    for (let round = 0; round < rounds; round++) {
      const fork = await worker.create({ snapshot });
      if (round % 2 === 1) await fork.hibernate();
      const how = await disturb(
        takesMs,
        () => fork.delete(),
        () => worker.crash(),
      );
      await worker.startAgain();
      await expectNoRemains(worker);
      await fork.delete();
      expect(
        (await worker.machines()).map(({ id }) => id),
        how,
      ).toEqual([machine.id]);
      await expectNoRemains(worker);
    }
    await worker.deleteSnapshot(snapshot);
    await goesOn(machine, told);
  });

  it('the flattening of its disk, nothing is lost and another try completes it', async () => {
    for (let round = 0; round < bootRounds; round++) {
      const fork = await forkOfManyLayers();
      await fork.output('head -c 32M /dev/urandom > /root/data; md5sum /root/data > /root/sum; sync');
      const { id } = await fork.snapshot();
      const afterMs = random.below(500);
      await delay(afterMs);
      await worker.crash();
      await worker.startAgain();
      await expectNoRemains(worker);
      await fork.output('echo 3 > /proc/sys/vm/drop_caches; md5sum -c --quiet /root/sum');
      const again = await fork.snapshot();
      await eventually('the disk is flat', () => layersOf(fork) <= 3);
      await fork.hibernate();
      await fork.wake();
      await fork.output('echo 3 > /proc/sys/vm/drop_caches; md5sum -c --quiet /root/sum');
      for (const snapshot of [id, again.id]) {
        const other = await worker.create({ snapshot });
        await other.output('md5sum -c --quiet /root/sum');
        await other.delete();
        await worker.deleteSnapshot(snapshot);
      }
      await fork.delete();
      await expectNoRemains(worker);
    }
  });

  it('a reboot, the disk is there and another try brings it up', async () => {
    for (let round = 0; round < bootRounds; round++) {
      // The part in which it is ended and started; after that it only boots.
      const how = await disturb(
        1500,
        () => machine.reboot(true),
        () => worker.crash(),
      );
      await worker.startAgain();
      expect(['running', 'failed'], how).toContain((await machine.info()).state);
      await expectNoRemains(worker);
      expect(await machine.reboot(true), how).toMatchObject({ state: 'running', startedFrom: 'disk' });
      await survivesOnDisk();
      told = await testimony(machine);
      await expectNoRemains(worker);
    }
  });
});

describe(`after QEMU was killed in the middle of (seed ${seed})`, { timeout: limitMs }, () => {
  /** Brings the machine up again and checks what it must have. @returns how it began */
  async function comesUp(): Promise<string> {
    const { startedFrom } = await machine.wake();
    if (startedFrom === 'memory') await goesOn(machine, told);
    else await survivesOnDisk();
    return startedFrom;
  }

  it('a hibernation, the machine hibernates or has failed with its disk', async () => {
    const takesMs = await timed(() => machine.hibernate());
    await machine.wake();
    for (let round = 0; round < bootRounds; round++) {
      told = await testimony(machine);
      const how = await disturb(
        takesMs,
        () => machine.hibernate(),
        () => worker.crashMachine(machine.id),
      );
      const info = await eventually('it is at rest', async () => {
        const now = await machine.info();
        return now.state === 'running' ? undefined : now;
      });
      await expectNoRemains(worker);
      const startedFrom = await comesUp();
      expect(startedFrom, how).toBe(info.state === 'hibernated' ? 'memory' : 'disk');
      await expectNoRemains(worker);
    }
  });

  it('a checkpoint, the machine has failed with its disk and the checkpoint is whole or not there', async () => {
    const { id: first } = await machine.snapshot();
    const takesMs = await timed(() => machine.snapshot());
    for (const { id } of await worker.snapshots()) await worker.deleteSnapshot(id);
    expect(first).not.toBe('');
    for (let round = 0; round < bootRounds; round++) {
      told = await testimony(machine);
      const id = randomUUID();
      const how = await disturb(
        takesMs,
        () => worker.takeSnapshot(machine.id, 'full', id),
        () => worker.crashMachine(machine.id),
      );
      await eventually('it has failed', async () => (await machine.info()).state === 'failed');
      await expectNoRemains(worker);
      for (const snapshot of await worker.snapshots()) {
        const fork = await worker.create({ snapshot: snapshot.id });
        await goesOn(fork, told);
        await fork.delete();
        await worker.deleteSnapshot(snapshot.id);
      }
      expect(await comesUp(), how).toBe('disk');
      await expectNoRemains(worker);
    }
  });

  it('a hibernation, and the worker too, nothing that was synced is lost', async () => {
    const takesMs = await timed(() => machine.hibernate());
    await machine.wake();
    for (let round = 0; round < bootRounds; round++) {
      told = await testimony(machine);
      const how = await disturb(
        takesMs,
        () => machine.hibernate(),
        async () => {
          await worker.crash();
          await worker.crashMachine(machine.id);
        },
      );
      await restartWorker();
      const { state } = await machine.info();
      expect(['hibernated', 'failed'], how).toContain(state);
      await expectNoRemains(worker);
      expect(await comesUp(), how).toBe(state === 'hibernated' ? 'memory' : 'disk');
      await expectNoRemains(worker);
    }
  });
});
