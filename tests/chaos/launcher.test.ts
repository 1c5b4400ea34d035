import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isSameProcess, waitForExit } from '@opencomputer/worker/processes';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { counterOf, startCounter } from '../support/counter.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { runToEnd } from '../support/module.ts';
import { removeNetwork } from '../support/host.ts';
import { sharedCacheDir, TestPlatform } from '../support/platform.ts';

const env = (dataDir: string): Record<string, string> => ({
  OPENCOMPUTER_DATA_DIR: dataDir,
  OPENCOMPUTER_CACHE_DIR: sharedCacheDir,
  OPENCOMPUTER_LISTEN: '127.0.0.1:0',
  OPENCOMPUTER_WARM_NETWORKS: '1',
});

describe('one installation, one platform', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await TestPlatform.start({ env: { OPENCOMPUTER_WARM_NETWORKS: '1' } });
  });
  afterAll(() => platform?.destroy());

  test('a second launcher refuses, and the first goes on', async () => {
    const second = await runToEnd('packages/standalone/src/main.ts', env(platform.dataDir));
    expect(second.code).toBe(1);
    expect(second.output).toContain(platform.dataDir);
    expect(second.output).toMatch(/runs already/);
    expect(await platform.answers('/readyz')).toBe(true);
  });

  test('a second worker refuses', async () => {
    const second = await runToEnd('packages/worker/src/main.ts', {
      ...env(platform.dataDir),
      OPENCOMPUTER_BOOT_IMAGE: '/nonexistent',
      OPENCOMPUTER_ROOTFS_IMAGE: '/nonexistent',
      OPENCOMPUTER_JAILER: '/nonexistent',
    });
    expect(second.code).toBe(1);
    expect(second.output).toMatch(/another worker runs on/);
    expect(await platform.answers('/readyz')).toBe(true);
  });

  test('a second server refuses', async () => {
    const second = await runToEnd('packages/server/src/main.ts', env(platform.dataDir));
    expect(second.code).toBe(1);
    expect(second.output).toMatch(/another server uses the data directory/);
    expect(await platform.answers('/readyz')).toBe(true);
  });

  test('kill -9 of the launcher ends its parts, and the next one takes the machines over', async () => {
    const sandbox = await platform.api.create({ envs: { KEPT: 'yes' } });
    await startCounter(sandbox);
    const parts = [platform.part('server'), platform.part('worker')];
    const machine = platform.machines().get(sandbox.id);
    await platform.killLauncher();
    for (const part of parts) {
      if (part === undefined) throw new Error('a part does not run');
      expect(await waitForExit(part, 60_000), 'server and worker end by themselves').toBe(true);
    }
    expect(machine !== undefined && isSameProcess(machine)).toBe(true);

    platform = await platform.startAgain();
    const again = platform.api.sandbox(sandbox.id);
    expect(await again.info()).toMatchObject({ status: 'running' });
    expect(platform.machines().get(sandbox.id)).toEqual(machine);
    expect(await again.output('echo $KEPT')).toBe('yes');
    const before = await counterOf(again);
    await eventually('the process inside counts on', async () => (await counterOf(again)) > before);
  });

  test('a stop and a start keep every sandbox', async () => {
    const sandbox = await platform.api.create();
    await startCounter(sandbox);
    await platform.stop();
    expect(existsSync(join(platform.dataDir, 'opencomputer.pid'))).toBe(false);
    platform = await platform.startAgain();
    const again = platform.api.sandbox(sandbox.id);
    const before = await counterOf(again);
    await eventually('the process inside counts on', async () => (await counterOf(again)) > before);
  });
});

test('of several launchers started at once on one data directory, one runs', async () => {
  const dataDir = await mkdtemp(join(dirname(sharedCacheDir), 'test', 'q-'));
  const stop = new AbortController();
  try {
    const starts = [1, 2, 3].map(() =>
      runToEnd('packages/standalone/src/main.ts', env(dataDir), { signal: stop.signal }),
    );
    const first = await Promise.race(starts);
    const second = await Promise.race(
      starts
        .filter((start) => start !== undefined)
        .map(async (start) => {
          const result = await start;
          return result === first ? new Promise<never>(() => undefined) : result;
        }),
    );
    for (const refused of [first, second]) {
      expect(refused.code).toBe(1);
      expect(refused.output).toMatch(/runs already/);
    }
    stop.abort();
    const [winner] = (await Promise.all(starts)).filter((result) => result !== first && result !== second);
    expect(winner).toMatchObject({ code: 0 });
  } finally {
    stop.abort();
    await removeNetwork(dataDir);
    await rm(dataDir, { recursive: true, force: true });
  }
});
