import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectError, type TestSandbox } from '../support/api.ts';
import { copyCache } from '../support/cache-copy.ts';
import { counterOf, startCounter } from '../support/counter.ts';
import { DiskImage } from '../support/disk-image.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { TestPlatform } from '../support/platform.ts';

const mebibyte = 1024 * 1024;

describe('a host whose disk fills up', () => {
  let disk: DiskImage;
  let platform: TestPlatform;
  let sandbox: TestSandbox;

  beforeAll(async () => {
    disk = await DiskImage.mount(6144);
    const cacheDir = join(disk.directory, 'cache');
    await copyCache(cacheDir);
    const dataDir = join(disk.directory, 'd');
    await mkdir(dataDir);
    platform = await TestPlatform.start({
      dataDir,
      cacheDir,
      env: { OPENCOMPUTER_WARM_NETWORKS: '1' },
    });
    sandbox = await platform.api.create({ timeout: 0 });
    await startCounter(sandbox);
    await sandbox.write('/home/sandbox/kept', 'kept');
  });
  afterAll(async () => {
    await disk?.free();
    await platform?.destroy();
    await disk?.unmount();
  });

  test('takes no new sandbox while too little is free, and says so', async () => {
    await disk.fill(1024 * mebibyte);
    const before = await platform.api.list('&status=all');
    const refused = await platform.api.call('POST', '/api/sandboxes', { json: {} });
    expectError(refused, 503, 'no_capacity', /disk/);
    expect(await platform.api.list('&status=all')).toEqual(before);
    expect(platform.traces().directories).toEqual([sandbox.id]);
    expect(await sandbox.output('echo goes on')).toBe('goes on');
  });

  test('with nothing left at all, every answer is clear and nothing that was there is lost', async () => {
    await disk.fillWholly();
    const refused = await platform.api.call('POST', '/api/sandboxes', { json: {} });
    expect([503, 507]).toContain(refused.status);
    expect(refused.body['code']).toMatch(/^(no_capacity|no_space)$/);

    // The guest writes until the host has nothing more to give.
    const write = sandbox.run('head -c 200M /dev/urandom > ~/big; sync', { timeout: 170 });
    write.catch(() => undefined);
    const stalled = await eventually(
      'the cause is told',
      async () => {
        const answer = await sandbox.exec('true', [], { timeout: 5 });
        return answer.status === 507 ? answer : undefined;
      },
      { withinMs: 240_000, everyMs: 1000 },
    );
    expectError(stalled, 507, 'no_space', /host/);
    expect((await platform.api.list()).map(({ sandboxID }) => sandboxID)).toEqual([sandbox.id]);
    await platform.crash('worker');
    await eventually('a worker that starts on the full disk knows it too', async () => {
      const answer = await sandbox.exec('true', [], { timeout: 5 });
      return answer.status === 507;
    });

    await disk.free();
    expect(await eventually('it goes on', () => sandbox.output('echo well; cat ~/kept'))).toBe('well\nkept');
    const before = await counterOf(sandbox);
    await eventually('its processes too', async () => (await counterOf(sandbox)) > before);
    await write.catch(() => undefined);
    expect(
      await sandbox.output(
        'sync && sudo dmesg | grep -ciE "i/o error|remounting filesystem read-only|ext4-fs error" || true',
      ),
    ).toBe('0');
    const next = await eventually('a new sandbox', () => platform.api.create());
    expect(await next.output('echo new')).toBe('new');
    await next.delete();
  });

  test('sandboxes can be deleted while the disk is full', async () => {
    await disk.fillWholly();
    const answer = await sandbox.call('DELETE', '');
    // It may take the room that the deletion itself frees; until then the cause is named.
    if (answer.status !== 204) expectError(answer, 507, 'no_space');
    await disk.free();
    if (answer.status !== 204) await sandbox.delete();
    await eventually('nothing of it is left', () => platform.traces().directories.length === 0);
    expect(await sandbox.info()).toMatchObject({ status: 'stopped' });
  });
});
