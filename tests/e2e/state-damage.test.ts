import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, statfs, truncate, writeFile } from 'node:fs/promises';
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

/** Each machine of these is for itself; most of their time goes into boots and into patience. */
describe.concurrent('saved memory', { timeout: 400_000 }, () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
    // Has the template built, once for all.
    await (await worker.create()).delete();
  });
  afterAll(() => worker.destroy());

  it.each([
    ['memory is cut off', 'ram', (file: string) => truncate(file, 100 * 1024 * 1024), /ram has \d+ bytes/],
    ['devices are missing', 'devices', (file: string) => rm(file), /devices is missing/],
  ])('that is damaged makes the machine boot, and say why: %s', async (_name, file, damage, reason) => {
    const machine = await worker.create();
    await machine.output('echo kept > /root/note; echo lost > /dev/shm/note');
    await machine.hibernate();
    await damage(join(worker.directory(machine.id), 'hibernation', file));
    const info = await machine.wake();
    expect(info).toMatchObject({ state: 'running', startedFrom: 'disk' });
    expect(info.coldBootReason).toMatch(/^its memory could not be restored: /);
    expect(info.coldBootReason).toMatch(reason);
    expect(await machine.output('cat /root/note; test ! -e /dev/shm/note')).toBe('kept');
    // It is as good as any other.
    await machine.hibernate();
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
    expect(await machine.output('cat /root/note')).toBe('kept');
    expect([...worker.processes().keys()].filter((name) => name.startsWith(machine.id))).toHaveLength(1);
    await machine.delete();
  });

  it('of a guest that does not answer is that of any other', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    // The agent stands still until the guest itself lets it go on, after the host has lost its patience.
    await machine.begin(
      'agent=$(pgrep -o -f opencomputer/agent); sleep 1; kill -STOP $agent; sleep 90; kill -CONT $agent',
    );
    await eventually('the agent is silent', async () => {
      try {
        await machine.ask('GET', '/stats', { withinMs: 2000 });
        return false;
      } catch (error) {
        return ['TimeoutError', 'AbortError'].includes((error as Error).name);
      }
    });
    await machine.hibernate();
    expect(worker.log).toContain('the guest does not come to rest');
    expect(await machine.wake()).toMatchObject({ state: 'running', startedFrom: 'memory' });
    await goesOn(machine, told);
    await machine.delete();
  });
});

describe('a damaged record', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('does not keep its machine from being deleted', async () => {
    const machine = await worker.create();
    await machine.hibernate();
    await worker.crash();
    const record = join(worker.directory(machine.id), 'machine.json');
    const text = await readFile(record, 'utf8');
    await writeFile(record, text.slice(0, text.length / 2));
    await worker.startAgain();
    expect(worker.entries('machines')).toEqual([machine.id]);
    await machine.delete();
    expect(worker.entries('machines')).toEqual([]);
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
    const record = await readFile(join(worker.directory(machine.id), 'machine.json'), 'utf8');
    const { origin } = JSON.parse(record) as { origin: string };
    return join('templates', origin);
  } finally {
    await worker.destroy();
  }
}

async function copySparse(path: string, cacheDir: string): Promise<void> {
  await mkdir(dirname(join(cacheDir, path)), { recursive: true });
  await execute('cp', ['-a', '--sparse=always', join(sharedCacheDir, path), join(cacheDir, path)]);
}
