import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flipBit } from '../support/flip-bit.ts';
import { expectNoRemains } from '../support/remains.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { TestWorker } from '../support/worker.ts';

type Damage = (path: string) => Promise<unknown>;

/** Takes the last eighth away. */
async function cut(path: string): Promise<void> {
  await truncate(path, Math.floor(((await stat(path)).size * 7) / 8));
}

const damages: [string, Damage][] = [
  ['a flipped bit', flipBit],
  ['a missing end', cut],
];
const memory = ['ram', 'devices'];

let worker: TestWorker;
let machine: TestMachine;

beforeAll(async () => {
  worker = await TestWorker.start();
});
afterAll(() => worker.destroy());

const table = (files: readonly string[]): [string, string, Damage][] =>
  files.flatMap((file) => damages.map(([name, damage]): [string, string, Damage] => [name, file, damage]));

/** What the worker refuses with while a file is damaged; the file is as before afterwards. */
async function whileDamaged(path: string, damage: Damage, use: () => Promise<void>): Promise<void> {
  const copy = await readFile(path);
  await damage(path);
  const harmed = await readFile(path);
  try {
    await use();
    expect((await readFile(path)).equals(harmed), 'nothing was changed').toBe(true);
  } finally {
    await writeFile(path, copy);
  }
}

describe('a checkpoint', { timeout: 900_000 }, () => {
  let snapshot: string;
  const at = (file: string): string => join(worker.dataDir, 'worker/snapshots', snapshot, file);

  beforeAll(async () => {
    machine = await worker.create();
    await machine.output('head -c 4M /dev/urandom > /root/data; md5sum /root/data > /root/sum; sync');
    snapshot = (await machine.snapshot()).id;
  });
  afterAll(async () => {
    await worker.deleteSnapshot(snapshot);
    await machine.delete();
  });

  it.each(memory)(
    'whose memory has a flipped bit in %s gives a fork that boots, and says why',
    async (file) => {
      await flipBit(at(file));
      const fork = await worker.create({ snapshot });
      const info = await fork.info();
      expect(info).toMatchObject({ state: 'running', startedFrom: 'disk' });
      expect(info.coldBootReason).toMatch(new RegExp(`the file ${file} is damaged`));
      await fork.output('md5sum -c --quiet /root/sum');
      await fork.delete();
      await worker.deleteSnapshot(snapshot);
      snapshot = (await machine.snapshot()).id;
      expect(await (await worker.create({ snapshot })).info()).toMatchObject({ startedFrom: 'memory' });
      for (const { id } of await worker.machines()) if (id !== machine.id) await worker.machine(id).delete();
    },
  );

  it.each(table(['layer-2', 'manifest.json']))(
    'with %s in %s is refused, nothing is changed or deleted',
    async (_n, file, damage) => {
      const files = worker.entries('snapshots', snapshot);
      await whileDamaged(at(file), damage, async () => {
        for (const call of [() => worker.create({ snapshot }), () => machine.restore(snapshot)])
          await expect(call()).rejects.toThrow(/500 .*snapshot_damaged/);
        expect(worker.entries('snapshots', snapshot)).toEqual(files);
        expect(await machine.info()).toMatchObject({ state: 'running' });
      });
      const fork = await worker.create({ snapshot });
      expect(await fork.info()).toMatchObject({ startedFrom: 'memory' });
      await fork.delete();
      await expectNoRemains(worker);
    },
  );
});

describe('a hibernated machine', { timeout: 900_000 }, () => {
  beforeAll(async () => {
    machine = await worker.create();
    await machine.output('head -c 4M /dev/urandom > /root/data; md5sum /root/data > /root/sum; sync');
    // Its disk has a layer of its own then.
    await worker.deleteSnapshot((await machine.snapshot()).id);
    await machine.output('head -c 4M /dev/urandom > /root/more; md5sum /root/more >> /root/sum; sync');
  });
  afterAll(() => machine.delete());

  it.each(memory)('whose memory has a flipped bit in %s boots, and says why', async (file) => {
    await machine.hibernate();
    await flipBit(join(worker.directory(machine.id), 'hibernation', file));
    const info = await machine.wake();
    expect(info).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect(info.coldBootReason).toMatch(new RegExp(`the file ${file} `));
    await machine.output('md5sum -c --quiet /root/sum');
    await expectNoRemains(worker);
  });

  it.each(table(['disk.qcow2', 'disk-1.qcow2']))(
    'whose disk has %s in %s is not woken',
    async (_n, file, damage) => {
      await machine.hibernate();
      const files = worker.entries('machines', machine.id, 'run-1');
      await whileDamaged(join(worker.directory(machine.id), 'run-1', file), damage, async () => {
        await expect(machine.wake()).rejects.toThrow(/500 .*snapshot_damaged/);
        expect(await machine.info()).toMatchObject({ state: 'hibernated' });
        expect(worker.entries('machines', machine.id, 'run-1')).toEqual(files);
      });
      expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
      await machine.output('md5sum -c --quiet /root/sum');
      await expectNoRemains(worker);
    },
  );

  it.each(damages)('with %s in the checksums of its memory makes them anew', async (_n, damage) => {
    await damage(join(worker.directory(machine.id), 'run-1/ram.sums'));
    await machine.hibernate();
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
    await machine.output('md5sum -c --quiet /root/sum');
  });

  it.each(damages)('with %s in its record is left as it is', async (_n, damage) => {
    await machine.hibernate();
    await worker.crash();
    const files = worker.entries('machines', machine.id);
    await whileDamaged(join(worker.directory(machine.id), 'machine.json'), damage, async () => {
      await worker.startAgain();
      expect(worker.log).toContain(`the record of the machine in ${worker.directory(machine.id)} is damaged`);
      expect((await machine.call('POST', '/wake')).status).toBe(404);
      expect(worker.entries('machines', machine.id)).toEqual(files);
      await worker.crash();
    });
    await worker.startAgain();
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
    await machine.output('md5sum -c --quiet /root/sum');
  });
});
