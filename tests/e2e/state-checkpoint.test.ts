import { Readable } from 'node:stream';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SnapshotInfo } from '@opencomputer/protocol';
import { eventually } from '@opencomputer/testing/eventually';
import { goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

/** Bytes that go out piece by piece, as from a slow client. @param sent called after each */
function slowUpload(pieces: number, sent: () => void): Readable {
  return Readable.from(
    (async function* pieceByPiece() {
      for (let piece = 0; piece < pieces; piece++) {
        // Real time: the pace of the client.
        await delay(50);
        yield Buffer.alloc(64 * 1024, piece % 256);
        sent();
      }
    })(),
  );
}

describe('a live checkpoint', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('loses and doubles nothing of a command that prints and is waited for', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    const waited = machine.run('for i in $(seq 1 150); do echo $i; sleep 0.01; done');
    const taken: SnapshotInfo[] = [];
    for (let round = 0; round < 3; round++) taken.push(await machine.snapshot());
    const { exitCode, stdout } = await waited;
    expect(exitCode).toBe(0);
    expect(stdout).toBe(Array.from({ length: 150 }, (_, index) => `${index + 1}\n`).join(''));
    await goesOn(machine, told);
    for (const { kind, memoryMB, sizeBytes, pauseMs } of taken) {
      expect({ kind, memoryMB }).toEqual({ kind: 'full', memoryMB: 256 });
      expect(sizeBytes).toBeGreaterThan(1024 * 1024);
      expect(pauseMs).toBeGreaterThan(0);
    }
    process.stdout.write(`pauses: ${taken.map(({ pauseMs }) => pauseMs).join(', ')} ms\n`);
    for (const { id } of taken) await worker.deleteSnapshot(id);
    await machine.delete();
  });

  it('lets an upload that is under way end whole, or refuses it and leaves the old file', async () => {
    const machine = await worker.create();
    await machine.write('/root/upload', Buffer.from('old'));
    let sent = 0;
    const upload = machine.call('PUT', '/files?path=/root/upload', {
      body: slowUpload(40, () => void sent++),
    });
    await eventually('a quarter is on its way', () => sent >= 10);
    const { id } = await machine.snapshot();
    const answer = await upload;
    const size = await machine.output('stat -c %s /root/upload');
    expect([204, 502]).toContain(answer.status);
    expect(size).toBe(answer.status === 204 ? String(40 * 64 * 1024) : '3');
    expect(await machine.output('ls -A /root | grep -v witness')).not.toContain('.upload');
    await worker.deleteSnapshot(id);
    await machine.delete();
  });

  it('is the same when it is asked for again, and is listed until it is deleted', async () => {
    const machine = await worker.create();
    const first = await machine.snapshot();
    expect(await worker.takeSnapshot(machine.id, 'full', first.id)).toEqual(first);
    expect(await worker.snapshots()).toEqual([first]);
    await worker.deleteSnapshot(first.id);
    await worker.deleteSnapshot(first.id);
    expect(await worker.snapshots()).toEqual([]);
    const answer = await worker.call('PUT', '/v1/machines/sb-00000001', {
      json: { ...(await machine.info()).spec, snapshot: first.id },
    });
    expect(answer).toMatchObject({ status: 404, body: { code: 'checkpoint_not_found' } });
    await machine.delete();
  });

  it('of two machines at once are both right', async () => {
    const machines = await Promise.all([worker.create(), worker.create()]);
    for (const machine of machines) await machine.output(`echo ${machine.id} > /dev/shm/name`);
    const taken = await Promise.all(machines.map((machine) => machine.snapshot()));
    const forks = await Promise.all(taken.map(({ id }) => worker.create({ snapshot: id })));
    for (const [index, fork] of forks.entries())
      expect(await fork.output('cat /dev/shm/name')).toBe(machines[index]?.id);
    for (const machine of [...machines, ...forks]) await machine.delete();
    for (const { id } of taken) await worker.deleteSnapshot(id);
  });

  it('of the disk alone holds no memory', async () => {
    const machine = await worker.create();
    const snapshot = await machine.snapshot('disk_only');
    expect(snapshot).toMatchObject({ kind: 'disk_only' });
    expect(worker.entries('snapshots', snapshot.id)).not.toContain('ram');
    await machine.delete();
    await worker.deleteSnapshot(snapshot.id);
  });

  it('gives its disk space back when it is deleted, and forks stand on what they share', async () => {
    const machine = await worker.create();
    const snapshots: SnapshotInfo[] = [];
    for (let round = 0; round < 3; round++) {
      await machine.output(
        `head -c 8M /dev/urandom > /root/data-${round}; md5sum /root/data-* > /root/sums; sync`,
      );
      snapshots.push(await machine.snapshot());
    }
    const forks = await Promise.all(snapshots.map(({ id }) => worker.create({ snapshot: id })));
    const layerOf = (fork: string, layer: number) =>
      statSync(join(worker.directory(fork), 'run-1', `layer-${layer}`)).nlink;
    // layer-2 is that of the first checkpoint: machine, three snapshots, three forks.
    expect(layerOf(forks[0]?.id ?? '', 2)).toBe(7);
    // Neither the oldest nor the newest first.
    for (const index of [1, 0, 2]) {
      await worker.deleteSnapshot(snapshots[index]?.id ?? '');
      for (const fork of forks)
        await fork.output('echo 3 > /proc/sys/vm/drop_caches; md5sum -c --quiet /root/sums');
    }
    expect(worker.entries('snapshots')).toEqual([]);
    expect(worker.entries('trash')).toEqual([]);
    expect(layerOf(forks[0]?.id ?? '', 2)).toBe(4);
    await forks[2]?.delete();
    await machine.delete();
    expect(layerOf(forks[0]?.id ?? '', 2)).toBe(2);
    await forks[0]?.output('md5sum -c --quiet /root/sums');
    await forks[1]?.output('md5sum -c --quiet /root/sums');
    await forks[0]?.delete();
    await forks[1]?.delete();
  });
});
