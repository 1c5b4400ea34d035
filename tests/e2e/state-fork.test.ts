import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestMachine } from '../support/test-machine.ts';
import { openSealed, sealJson } from '../../packages/worker/src/host/sealed-json.ts';
import { goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

const depth = 3;

describe('forks of a checkpoint', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('have the memory, processes and files of its instant, and a name and an environment of their own', async () => {
    const origin = await worker.create({ env: { WHO: 'origin', ONLY: 'origin' } });
    await startWitness(origin);
    await origin.output('echo then > /dev/shm/note; echo then > /root/note');
    const told = await testimony(origin);
    const { id: snapshot } = await origin.snapshot();
    await origin.output('echo later > /dev/shm/note; echo later > /root/note');
    const forks = await Promise.all(
      Array.from({ length: 3 }, (_, index) => worker.create({ snapshot, env: { WHO: `fork-${index}` } })),
    );
    const told2 = await Promise.all(forks.map((fork) => testimony(fork)));
    for (const { count } of told2) expect(count).toBeGreaterThanOrEqual(told.count);
    for (const [index, fork] of forks.entries()) {
      expect(await fork.info()).toMatchObject({ state: 'running', startedFrom: 'memory' });
      await goesOn(fork, told);
      expect(await fork.output('cat /dev/shm/note /root/note; hostname; echo $WHO-$ONLY')).toBe(
        `then\nthen\n${fork.id}\nfork-${index}-`,
      );
    }
    await goesOn(origin, told);
    for (const machine of [origin, ...forks]) await machine.delete();
    await worker.deleteSnapshot(snapshot);
  });

  it(`of forks, ${depth} deep, have all that came before`, async () => {
    const line: TestMachine[] = [await worker.create()];
    const snapshots: string[] = [];
    for (let level = 0; level < depth; level++) {
      const parent = line.at(-1);
      if (parent === undefined) throw new Error('there is no parent');
      await parent.output(
        `echo ${level} >> /dev/shm/levels; echo ${level} >> /root/levels; head -c 4M /dev/urandom > /root/data-${level}; ` +
          'md5sum /root/data-* > /root/sums',
      );
      const { id } = await parent.snapshot();
      snapshots.push(id);
      line.push(await worker.create({ snapshot: id }));
    }
    for (const [level, machine] of line.entries()) {
      const levels = Math.min(level + 1, depth);
      const lines = Array.from({ length: levels }, (_, index) => `${index}`).join('\n');
      expect(
        await machine.output(
          'sync; echo 3 > /proc/sys/vm/drop_caches; md5sum -c --quiet /root/sums; cat /dev/shm/levels; cmp /dev/shm/levels /root/levels',
        ),
      ).toBe(lines);
    }
    for (const machine of line) await machine.delete();
    for (const id of snapshots) await worker.deleteSnapshot(id);
  });

  it('boot from the disk, and say why, where the memory was saved by another QEMU', async () => {
    const origin = await worker.create();
    await origin.output('echo kept > /root/note; sync');
    const { id: snapshot } = await origin.snapshot();
    const file = join(worker.dataDir, 'worker/snapshots', snapshot, 'manifest.json');
    const manifest = openSealed(readFileSync(file, 'utf8')) as { compatibility: { qemu: string } };
    manifest.compatibility.qemu = '1.0.0';
    writeFileSync(file, sealJson(manifest));
    const fork = await worker.create({ snapshot });
    const info = await fork.info();
    expect(info).toMatchObject({ startedFrom: 'disk' });
    expect(info.coldBootReason).toMatch(/another QEMU \(1\.0\.0, here \d/);
    expect(await fork.output('cat /root/note; hostname')).toBe(`kept\n${fork.id}`);
    await fork.delete();
    await origin.delete();
    await worker.deleteSnapshot(snapshot);
  });
});
