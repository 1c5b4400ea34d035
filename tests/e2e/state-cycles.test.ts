import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { checkFileSystem } from '../support/guest-disk.ts';
import { Random } from '../support/random.ts';
import { expectNoRemains } from '../support/remains.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { goesOn, startWitness, type Testimony, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';
import { checkWork, startWorkload, type Work, workOf, worksOn } from '../support/workload.ts';

const rounds = Number(process.env['OPENCOMPUTER_TEST_CYCLES'] ?? 5);
const seed = Number(process.env['OPENCOMPUTER_TEST_SEED'] ?? Date.now() % 1_000_000);
/** The whole of /usr is hashed at the beginning, at the end, and after so many rounds: it takes long under emulation. */
const wholeEvery = Math.min(Math.ceil(rounds / 2), 50);
const minutes = 60_000;

/** A hash of all files below a directory as they are on disk, not in the guest's page cache. */
function filesOnDisk(machine: TestMachine, directory: string): Promise<string> {
  return machine.output(
    `sync; echo 3 > /proc/sys/vm/drop_caches; find ${directory} -type f -print0 | sort -z | xargs -0 cat | md5sum`,
  );
}

/** What a machine had told before a change: nothing of it may be lost. */
interface Told {
  testimony: Testimony;
  work: Work;
}

async function ask(machine: TestMachine): Promise<Told> {
  return { testimony: await testimony(machine), work: await workOf(machine) };
}

/** A machine whose state is changed under it; a fork takes its place. */
class Subject {
  readonly worker: TestWorker;
  machine: TestMachine;

  constructor(worker: TestWorker, machine: TestMachine) {
    this.worker = worker;
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
    const info = await machine.wake();
    expect(info).toMatchObject({ id: machine.id, state: 'running', startedFrom: 'memory' });
    expect(info.coldBootReason).toBeUndefined();
    expect(await machine.end(command)).toEqual({ exitCode: 7, stdout: 'finished\n', stderr: '' });
  }

  async checkpointAndRestore(): Promise<void> {
    const { machine } = this;
    const { id } = await machine.snapshot();
    await machine.output('echo later > /root/later; echo later > /dev/shm/later; sync');
    await worksOn(machine, await workOf(machine));
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
}

describe(`over ${rounds} rounds (seed ${seed})`, () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it(
    'of hibernation, restore and fork of forks, no byte, process, connection or committed row is lost',
    { timeout: (20 + rounds) * minutes },
    async () => {
      const random = new Random(seed);
      const subject = new Subject(worker, await worker.create());
      await startWitness(subject.machine);
      await startWorkload(subject.machine);
      const bootId = await subject.machine.output('cat /proc/sys/kernel/random/boot_id');
      const few = await filesOnDisk(subject.machine, '/usr/lib/x86_64-linux-gnu/perl-base');
      const whole = await filesOnDisk(subject.machine, '/usr');
      const changes = ['hibernateAndWake', 'checkpointAndRestore', 'fork'] as const;
      for (let round = 1; round <= rounds; round++) {
        // Each in turn, so that a short run has all of them, and then any.
        const change = round <= changes.length ? changes[round - 1] : random.pick(changes);
        if (change === undefined) throw new Error('there is no such change');
        const told = await ask(subject.machine);
        await subject[change]();
        const { machine } = subject;
        await goesOn(machine, told.testimony);
        await worksOn(machine, told.work);
        await checkWork(machine, told.work);
        expect(await filesOnDisk(machine, '/usr/lib/x86_64-linux-gnu/perl-base')).toBe(few);
        if (round % wholeEvery === 0) expect(await filesOnDisk(machine, '/usr')).toBe(whole);
        // A disk may be made flat in the background.
        await eventually('nothing is left over', () => expectNoRemains(worker).then(() => true));
      }
      const { machine } = subject;
      expect(await machine.output('cat /proc/sys/kernel/random/boot_id')).toBe(bootId);
      await machine.hibernate();
      await checkFileSystem(machine);
      await machine.delete();
    },
  );
});
