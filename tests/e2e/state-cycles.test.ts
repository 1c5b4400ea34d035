import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureImages } from '@opencomputer/images';
import { eventually } from '@opencomputer/testing/eventually';
import { checkFileSystem, withFilesOf } from '../support/guest-disk.ts';
import { sharedCacheDir } from '../support/platform.ts';
import { Random } from '../support/random.ts';
import { expectNoRemains } from '../support/remains.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { goesOn, startWitness, type Testimony, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';
import { checkWork, startWorkload, type Work, workOf, worksOn } from '../support/workload.ts';

const rounds = Number(process.env['OPENCOMPUTER_TEST_CYCLES'] ?? 6);
const seed = Number(process.env['OPENCOMPUTER_TEST_SEED'] ?? Date.now() % 1_000_000);
/** Files of the system that are read in each round, and the largest of them in bytes. */
const sampleSize = 20;
const sampleBytes = 512 * 1024;
const minutes = 60_000;
/** The kernel's own, which forks share: it is the same as long as nothing has booted anew. */
const readBootId = 'cat /run/opencomputer/whole/proc/sys/kernel/random/boot_id';

const execute = promisify(execFile);

/** Files of the base image below /usr that are read in the guest: path and MD5. */
type Sample = readonly { path: string; sum: string }[];

/** Which they are, for each round: the host reads in a second what takes a guest minutes under emulation. */
async function samplesOf(image: string, random: Random): Promise<Sample[]> {
  return withFilesOf(image, (root) => {
    const found = readdirSync(join(root, 'usr'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/\s|'/.test(entry.name + entry.parentPath))
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted();
    const [first, ...others] = found.filter((path) => statSync(path).size <= sampleBytes);
    if (first === undefined) throw new Error(`${image} has no files below /usr`);
    const pick = () => {
      const path = random.pick([first, ...others]);
      return {
        path: path.slice(root.length),
        sum: createHash('md5').update(readFileSync(path)).digest('hex'),
      };
    };
    return Promise.resolve(Array.from({ length: rounds }, () => Array.from({ length: sampleSize }, pick)));
  });
}

/** What a machine had told before a change: nothing of it may be lost. */
interface Told {
  testimony: Testimony;
  work: Work;
}

async function ask(machine: TestMachine): Promise<Told> {
  return { testimony: await testimony(machine), work: await workOf(machine) };
}

/** A machine whose state is changed under it; a fork takes its place. Each change answers with what may not be lost. */
class Subject {
  readonly worker: TestWorker;
  readonly random: Random;
  machine: TestMachine;

  constructor(worker: TestWorker, random: Random, machine: TestMachine) {
    this.worker = worker;
    this.random = random;
    this.machine = machine;
  }

  async hibernateAndWake(): Promise<void> {
    const { machine } = this;
    const command = await machine.begin('sleep 1; echo finished; exit 7');
    const { sizeBytes } = await machine.hibernate();
    expect(sizeBytes).toBeGreaterThan(1024 * 1024);
    expect(this.worker.processes().size).toBe(0);
    expect(this.worker.namespaces()).toEqual([]);
    expect(await machine.info()).toMatchObject({ state: 'hibernated', hibernationBytes: sizeBytes });
    await this.wake();
    expect(await machine.end(command)).toEqual({ exitCode: 7, stdout: 'finished\n', stderr: '' });
  }

  async wake(): Promise<void> {
    const info = await this.machine.wake();
    expect(info).toMatchObject({ id: this.machine.id, state: 'running', startedFrom: 'memory' });
    expect(info.coldBootReason).toBeUndefined();
  }

  async checkpointAndRestore(): Promise<void> {
    const { machine } = this;
    const { id } = await machine.snapshot();
    await machine.output('echo later > /root/later; echo later > /dev/shm/later; sync');
    await this.restore(id);
  }

  /** QEMU is killed after a checkpoint, which brings the machine back. */
  async killAndRestore(): Promise<void> {
    const { machine } = this;
    const { id } = await machine.snapshot();
    await machine.output('echo later > /root/later; echo later > /dev/shm/later; sync');
    await this.worker.crashMachine(machine.id);
    await eventually('it has failed', async () => (await machine.info()).state === 'failed');
    await this.restore(id);
  }

  async restore(id: string): Promise<void> {
    const { machine } = this;
    expect(await machine.restore(id)).toMatchObject({ state: 'running', startedFrom: 'memory' });
    await machine.output('test ! -e /root/later && test ! -e /dev/shm/later');
    await this.worker.deleteSnapshot(id);
  }

  async fork(): Promise<void> {
    const { machine } = this;
    const { id } = await machine.snapshot();
    const fork = await this.worker.create({ snapshot: id });
    expect(await fork.info()).toMatchObject({ state: 'running', startedFrom: 'memory' });
    // Origin and checkpoint go, what came from them stays.
    await machine.delete();
    await this.worker.deleteSnapshot(id);
    this.machine = fork;
  }

  /** The worker is killed anywhere in a hibernation or a checkpoint. */
  async killWorker(): Promise<void> {
    const { machine, worker } = this;
    const change = this.random.pick([() => machine.hibernate(), () => machine.snapshot()]);
    const ended = change().then(
      () => undefined,
      () => undefined,
    );
    // Real time: anywhere in the change.
    await delay(this.random.below(1000));
    await worker.crash();
    await ended;
    await worker.startAgain();
    await this.wake();
    for (const { id } of await worker.snapshots()) await worker.deleteSnapshot(id);
  }
}

describe(`over ${rounds} rounds (seed ${seed})`, () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it(
    'of hibernation, restore, kill and fork of forks, no byte, process, connection or committed row is lost',
    { timeout: (20 + rounds) * minutes },
    async () => {
      const random = new Random(seed);
      const { rootfs } = await ensureImages({ cacheDir: sharedCacheDir });
      const samples = await samplesOf(rootfs, random);
      const subject = new Subject(worker, random, await worker.create());
      await startWitness(subject.machine);
      await startWorkload(subject.machine);
      const bootId = await subject.machine.output(readBootId);
      const changes = [
        'hibernateAndWake',
        'checkpointAndRestore',
        'fork',
        'killWorker',
        'killAndRestore',
      ] as const;
      for (const [index, sample] of samples.entries()) {
        // Each in turn, so that a short run has all of them, and then any.
        const change = changes[index] ?? random.pick(changes);
        const told = await ask(subject.machine);
        await subject[change]();
        const { machine } = subject;
        await goesOn(machine, told.testimony);
        await worksOn(machine, told.work);
        const paths = sample.map(({ path }) => path);
        expect(await checkWork(machine, told.work, paths), change).toEqual(sample.map(({ sum }) => sum));
        // A disk may be made flat in the background.
        await eventually('nothing is left over', () => expectNoRemains(worker).then(() => true));
      }
      const { machine } = subject;
      expect(await machine.output(readBootId)).toBe(bootId);
      await machine.hibernate();
      await withFilesOf(rootfs, (before) =>
        checkFileSystem(machine, async (after) => {
          await execute('diff', ['-rq', '--no-dereference', `${before}/usr`, `${after}/usr`]);
        }),
      );
      await machine.delete();
    },
  );
});
