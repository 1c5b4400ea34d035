import { execFile } from 'node:child_process';
import { mkdir, rm, statfs, truncate } from 'node:fs/promises';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiskImage } from '../support/disk-image.ts';
import { eventually } from '../support/eventually.ts';
import { sharedCacheDir } from '../support/platform.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

const execute = promisify(execFile);

describe('saved memory that is damaged', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it.each([
    ['is cut off', 'ram', (file: string) => truncate(file, 100 * 1024 * 1024), /ram has \d+ bytes/],
    ['is missing', 'ram', (file: string) => rm(file), /ram is missing/],
    ['has no devices', 'devices', (file: string) => rm(file), /devices is missing/],
    ['has devices that are cut off', 'devices', (file: string) => truncate(file, 10_000), /./],
    ['has empty devices', 'devices', (file: string) => truncate(file, 0), /devices has 0 bytes/],
    [
      'has devices that are something else',
      'devices',
      (file: string) => Promise.resolve(writeFileSync(file, 'x'.repeat(50_000), { mode: 0o400 })),
      /./,
    ],
  ])('wakes from the disk, and says why: it %s', async (_name, file, damage, reason) => {
    const machine = await worker.create();
    await machine.output('echo kept > /root/note; echo lost > /dev/shm/note');
    await machine.hibernate();
    await damage(join(worker.directory(machine.id), 'hibernation', file));
    const info = await machine.wake();
    expect(info).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect(info.coldBootReason).toMatch(/^its memory could not be restored: /);
    expect(info.coldBootReason).toMatch(reason);
    expect(await machine.output('cat /root/note; test ! -e /dev/shm/note')).toBe('kept');
    expect(worker.processes().size).toBe(1);
    // It is as good as any other.
    await machine.hibernate();
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
    expect(await machine.output('cat /root/note')).toBe('kept');
    await machine.delete();
  });

  it('does not keep a machine from being deleted whose record is damaged', async () => {
    const machine = await worker.create();
    await machine.hibernate();
    await worker.crash();
    const record = join(worker.directory(machine.id), 'machine.json');
    const text = readFileSync(record, 'utf8');
    writeFileSync(record, text.slice(0, text.length / 2));
    await worker.startAgain();
    expect(worker.entries('machines')).toEqual([machine.id]);
    await machine.delete();
    expect(worker.entries('machines')).toEqual([]);
  });
});

describe('a guest that does not answer', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('is hibernated as it is, and goes on when it wakes', { timeout: 400_000 }, async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    // The agent stands still until the guest itself lets it go on, after the host has lost its patience.
    await machine.begin(
      'agent=$(pgrep -o -f opencomputer/agent); sleep 1; kill -STOP $agent; sleep 75; kill -CONT $agent',
    );
    const started = Date.now();
    await eventually('the agent is silent', async () => {
      try {
        await machine.ask('GET', '/stats', { withinMs: 2000 });
        return false;
      } catch (error) {
        return (error as Error).name === 'TimeoutError' || (error as Error).name === 'AbortError';
      }
    });
    await machine.hibernate();
    process.stdout.write(`hibernated after ${Math.round((Date.now() - started) / 1000)} s of silence\n`);
    expect(await machine.wake()).toMatchObject({ state: 'running', startedFrom: 'memory' });
    await goesOn(machine, told);
    await machine.delete();
  });
});

describe('a host whose disk is full', () => {
  let worker: TestWorker;
  let disk: DiskImage;

  beforeAll(async () => {
    const template = await templateOfTests();
    disk = await DiskImage.mount(8192);
    // Hard links: the cache must be on the file system of the data.
    const cacheDir = join(disk.directory, 'cache');
    for (const path of ['overlays', 'acceleration.json', template]) await copySparse(path, cacheDir);
    worker = await TestWorker.start({ dataDir: join(disk.directory, 'd'), cacheDir });
  }, 300_000);
  afterAll(async () => {
    await worker?.destroy();
    await disk?.unmount();
  });

  async function fill(leftBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(disk.directory);
    await execute('fallocate', ['-l', String(bavail * bsize - leftBytes), join(disk.directory, 'filler')]);
  }

  it('refuses to hibernate or to take a checkpoint, and the machine runs on', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    await fill(24 * 1024 * 1024);
    for (const call of [
      () => machine.call('POST', '/hibernate'),
      () => worker.call('PUT', '/v1/snapshots/00000000-0000-4000-8000-000000000001', snapshotOf(machine)),
    ]) {
      const answer = await call();
      expect(answer).toMatchObject({ status: 507, body: { code: 'no_space' } });
      expect(await machine.info()).toMatchObject({ state: 'running' });
      expect(worker.entries('machines', machine.id)).toEqual(['machine.json', 'qemu.log', 'run-1']);
      expect(worker.entries('snapshots')).toEqual([]);
      expect(worker.entries('trash')).toEqual([]);
    }
    await goesOn(machine, told);
    await rm(join(disk.directory, 'filler'));
    await machine.hibernate();
    await machine.wake();
    await goesOn(machine, told);
    await machine.delete();
  });
});

function snapshotOf(machine: TestMachine): { json: object } {
  return { json: { machine: machine.id, kind: 'full' } };
}

/** The template of the shape that test machines have, below the cache; made first where it is missing. */
async function templateOfTests(): Promise<string> {
  const worker = await TestWorker.start();
  try {
    const machine = await worker.create();
    const { origin } = JSON.parse(
      readFileSync(join(worker.directory(machine.id), 'machine.json'), 'utf8'),
    ) as { origin: string };
    return join('templates', origin);
  } finally {
    await worker.destroy();
  }
}

async function copySparse(path: string, cacheDir: string): Promise<void> {
  await mkdir(dirname(join(cacheDir, path)), { recursive: true });
  await execute('cp', ['-a', '--sparse=always', join(sharedCacheDir, path), join(cacheDir, path)]);
}
