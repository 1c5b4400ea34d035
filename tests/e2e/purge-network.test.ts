import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestWorker } from '../support/worker.ts';

const execute = promisify(execFile);
const stopModule = join(import.meta.dirname, '../../packages/standalone/src/stop.ts');

describe('stop --purge-network', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  const purge = () =>
    execute(process.execPath, [stopModule, '--purge-network'], {
      env: { ...process.env, OPENCOMPUTER_DATA_DIR: worker.dataDir },
    });
  const tables = async (): Promise<string> => (await execute('nft', ['list', 'tables'])).stdout;
  const bridge = (): boolean => existsSync(`/sys/class/net/oc${worker.instanceTag}`);

  it('leaves nothing in the kernel, every disk as it is, and refuses while something runs', async () => {
    const machine = await worker.create();
    await machine.output('echo kept > /root/note; sync');
    expect(bridge()).toBe(true);
    expect(await tables()).toContain(worker.instanceTag);
    await expect(purge()).rejects.toThrow(/another worker runs/);
    await worker.crash();
    await expect(purge()).rejects.toThrow(new RegExp(`still run.*${machine.id}`));
    expect(bridge()).toBe(true);
    expect(worker.namespaces()).toHaveLength(1);

    await worker.startAgain();
    await machine.hibernate();
    await worker.crash();
    expect((await purge()).stdout).toMatch(/are gone/);
    expect(bridge()).toBe(false);
    expect(await tables()).not.toContain(worker.instanceTag);
    expect(worker.namespaces()).toEqual([]);

    await worker.startAgain();
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' });
    expect(await machine.output('cat /root/note')).toBe('kept');
    await machine.delete();
  });
});
