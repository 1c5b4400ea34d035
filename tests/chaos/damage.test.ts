import { DatabaseSync } from 'node:sqlite';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isSameProcess } from '@opencomputer/worker/processes';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectError } from '../support/api.ts';
import { copyCache } from '../support/cache-copy.ts';
import { counterOf, startCounter } from '../support/counter.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { flipBit } from '../support/flip-bit.ts';
import { sharedCacheDir, TestPlatform } from '../support/platform.ts';

const garbage = '\0garbage{{{\xff';

describe('damaged files of machines and of the server', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await TestPlatform.start({ env: { OPENCOMPUTER_WARM_NETWORKS: '1' } });
  });
  afterAll(() => platform?.destroy());

  test('a machine with a damaged record is left as it is, and told; it can be deleted', async () => {
    const [damaged, whole] = await Promise.all([platform.api.create(), platform.api.create()]);
    const directory = join(platform.dataDir, 'worker/machines', damaged.id);
    const machine = platform.machines().get(damaged.id);
    await writeFile(join(directory, 'machine.json'), garbage);
    const files = await readdir(directory, { recursive: true });
    await platform.crash('worker');
    await platform.ready();
    const info = await eventually('its sandbox is in error', async () => {
      const now = await damaged.info();
      return now.status === 'error' ? now : undefined;
    });
    expect(info.statusReason).toMatch(/\S/);
    expectError(await damaged.exec('true'), 410, 'sandbox_stopped');
    expect(machine !== undefined && isSameProcess(machine)).toBe(true);
    expect(await readdir(directory, { recursive: true })).toEqual(files);
    expect(await whole.output('echo undisturbed')).toBe('undisturbed');
    expect(platform.log).toMatch(/damaged/);
    await damaged.delete();
    await eventually(
      'nothing of it is left',
      () => !existsSync(directory) && !platform.machines().has(damaged.id),
    );
    await whole.delete();
  });

  test('a database that is damaged, or that another process holds, keeps the server from starting, with a clear word, and is not touched', async () => {
    const sandbox = await platform.api.create();
    await startCounter(sandbox);
    const machine = platform.machines().get(sandbox.id);
    await platform.stop();
    const database = join(platform.dataDir, 'server/opencomputer.db');
    await cp(database, `${database}.good`);
    await writeFile(database, garbage.repeat(1000));
    await expect(platform.startAgain()).rejects.toThrow(/cannot open the database .*opencomputer\.db/s);
    expect((await readFile(database, 'latin1')).startsWith('\0garbage')).toBe(true);
    expect(machine !== undefined && isSameProcess(machine), 'the machine runs on').toBe(true);
    await rename(`${database}.good`, database);
    const other = new DatabaseSync(database);
    other.exec('pragma locking_mode = exclusive; begin exclusive');
    try {
      await expect(platform.startAgain()).rejects.toThrow(/cannot open the database .*locked/s);
    } finally {
      other.close();
    }
    platform = await platform.startAgain();
    const again = platform.api.sandbox(sandbox.id);
    expect(await again.info()).toMatchObject({ status: 'running' });
    const before = await counterOf(again);
    await eventually('the process inside counts on', async () => (await counterOf(again)) > before);
    await again.delete();
  });
});

/** Small, so that it is copied and built again quickly. */
const shape = { memoryMB: 256 };

describe('damaged templates', () => {
  let cacheDir: string;
  let template: string;
  let platform: TestPlatform;
  beforeAll(async () => {
    cacheDir = await mkdtemp(join(dirname(sharedCacheDir), 'test', 'c-'));
    template = await copyCache(cacheDir, shape);
    platform = await TestPlatform.start({ cacheDir, env: { OPENCOMPUTER_WARM_NETWORKS: '1' } });
  });
  afterAll(async () => {
    await platform?.destroy();
    if (cacheDir !== undefined) await rm(cacheDir, { recursive: true, force: true });
  });

  test('are built again, whatever is damaged', async () => {
    const manifest = await readFile(join(template, 'manifest.json'), 'utf8');
    await flipBit(join(template, 'ram'));
    await truncate(join(template, 'devices'), 100_000);
    await platform.crash('worker');
    await platform.ready();
    const sandbox = await platform.api.create(shape);
    expect(await sandbox.output('echo whole again')).toBe('whole again');
    expect(platform.log).toMatch(/the file ram is damaged.*a template is damaged; it is built again/);
    expect(await readFile(join(template, 'manifest.json'), 'utf8')).not.toBe(manifest);
    await sandbox.delete();
    await eventually('nothing is left of the damaged one', () => platform.traces().trash.length === 0);
  }, 400_000);

  test('whose root file system is damaged are refused, with what to do', async () => {
    const image = join(template, 'layer-0');
    const harmed = await flipBit(image);
    await platform.crash('worker');
    await platform.ready();
    const refused = await eventually('the damage is found', async () => {
      const answer = await platform.api.call('POST', '/api/sandboxes', { json: shape });
      if (answer.status !== 201) return answer;
      await platform.api.sandbox(String(answer.body['sandboxID'])).delete();
      return undefined;
    });
    expectError(refused, 502, 'creation_failed', /root file system of machines is damaged: the file layer-0/);
    expect(String(refused.body['hint'])).toContain(join(cacheDir, 'images'));
    await harmed.mend();
    await platform.crash('worker');
    await platform.ready();
    const sandbox = await platform.api.create(shape);
    expect(await sandbox.output('echo whole again')).toBe('whole again');
    await sandbox.delete();
  });
});
