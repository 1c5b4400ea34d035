import { setTimeout as delay } from 'node:timers/promises';
import { kill, type ProcessIdentity, waitForExit } from '@opencomputer/worker/processes';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectError, type TestSandbox } from '../support/api.ts';
import { counterOf, startCounter } from '../support/counter.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { TestPlatform } from '../support/platform.ts';

/** Long enough for every timeout of a few seconds between the parts to strike. */
const pauseMs = 8000;

describe('machines that die or stand still', () => {
  let platform: TestPlatform;
  let other: TestSandbox;
  beforeAll(async () => {
    platform = await TestPlatform.start({ env: { OPENCOMPUTER_WARM_NETWORKS: '1' } });
    other = await platform.api.create();
    await startCounter(other);
  });
  afterAll(() => platform?.destroy());

  function machineOf(sandbox: TestSandbox): ProcessIdentity {
    const process = platform.machines().get(sandbox.id);
    if (process === undefined) throw new Error(`${sandbox.id} has no machine`);
    return process;
  }

  async function othersGoOn(): Promise<void> {
    const before = await counterOf(other);
    await eventually('the other sandbox goes on', async () => (await counterOf(other)) > before);
    expect(await other.info()).toMatchObject({ status: 'running' });
  }

  test('kill -9 of one QEMU is an error with a reason, and delete cleans up', async () => {
    const sandbox = await platform.api.create();
    const running = sandbox.exec('sleep', ['600'], { timeout: 600 });
    await eventually(
      'the command runs',
      async () => (await sandbox.output('pgrep -c sleep || true')) !== '0',
    );
    const machine = machineOf(sandbox);
    kill(machine, 'SIGKILL');
    await waitForExit(machine, 60_000);
    const info = await eventually('its status says so', async () => {
      const now = await sandbox.info();
      return now.status === 'error' ? now : undefined;
    });
    expect(info.statusReason).toMatch(/SIGKILL|signal/i);
    expect((await running).text).toMatch(/"code":"(sandbox_stopped|guest_failed|worker_unavailable)"/);
    expectError(await sandbox.exec('true'), 410, 'sandbox_stopped');
    await othersGoOn();
    // Its disk is kept until the user lets go of it.
    expect(platform.traces().directories).toContain(sandbox.id);
    await sandbox.delete();
    expect(await sandbox.info()).toMatchObject({ status: 'stopped' });
    await eventually('nothing of it is left', () => !platform.traces().directories.includes(sandbox.id));
    await eventually('its network is gone', () => platform.traces().namespaces.length === 2);
  });

  test('one that died while nobody looked is found dead', async () => {
    const sandbox = await platform.api.create();
    const machine = machineOf(sandbox);
    await platform.stop();
    kill(machine, 'SIGKILL');
    await waitForExit(machine, 60_000);
    platform = await platform.startAgain();
    other = platform.api.sandbox(other.id);
    const again = platform.api.sandbox(sandbox.id);
    const info = await eventually('its status says so', async () => {
      const now = await again.info();
      return now.status === 'error' ? now : undefined;
    });
    expect(info.statusReason).toMatch(/QEMU process ended/);
    await othersGoOn();
    await again.delete();
    await eventually('nothing of it is left', () => !platform.traces().directories.includes(sandbox.id));
  });

  test('a machine that stands still for a while is waited for, or told clearly, and recovers', async () => {
    const sandbox = await platform.api.create();
    await startCounter(sandbox);
    const machine = machineOf(sandbox);
    kill(machine, 'SIGSTOP');
    try {
      const command = sandbox.exec('echo', ['back'], { timeout: 60 });
      const upload = sandbox.call('PUT', '/files?path=/tmp/x', { body: 'x'.repeat(1_000_000) });
      await othersGoOn();
      // Real time: how long it stands still.
      await delay(pauseMs);
      expect(await sandbox.info()).toMatchObject({ status: 'running' });
      kill(machine, 'SIGCONT');
      for (const answer of await Promise.all([command, upload]))
        if (answer.status >= 300) expect(answer.body['code']).toMatch(/^guest_(timeout|failed)$/);
    } finally {
      kill(machine, 'SIGCONT');
    }
    const before = await eventually('it answers again', () => counterOf(sandbox));
    await eventually('the process inside counts on', async () => (await counterOf(sandbox)) > before);
    expect(await sandbox.output('echo well')).toBe('well');
    await sandbox.delete();
  });

  test('a worker that stands still for a while costs time only', async () => {
    const worker = platform.part('worker');
    if (worker === undefined) throw new Error('no worker');
    kill(worker, 'SIGSTOP');
    try {
      const command = other.exec('echo', ['back'], { timeout: 60 });
      expect(await platform.answers('/healthz')).toBe(true);
      expect((await platform.api.list()).map(({ sandboxID }) => sandboxID)).toContain(other.id);
      // Real time: how long it stands still.
      await delay(pauseMs);
      kill(worker, 'SIGCONT');
      expect(await command).toMatchObject({ status: 200, body: { stdout: 'back\n' } });
    } finally {
      kill(worker, 'SIGCONT');
    }
    await othersGoOn();
  });

  test('a machine that stands still can be deleted', async () => {
    const sandbox = await platform.api.create();
    const machine = machineOf(sandbox);
    kill(machine, 'SIGSTOP');
    await sandbox.delete();
    expect(await waitForExit(machine, 60_000)).toBe(true);
    await othersGoOn();
  });
});
