import { describe, expect, onTestFinished, test } from 'vitest';
import { expectError, type TestSandbox } from '../support/api.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { sharedApi } from '../support/shared.ts';

/** A sandbox for one test. */
async function make(options: Record<string, unknown> = {}): Promise<TestSandbox> {
  const sandbox = await sharedApi().create(options);
  onTestFinished(() => sandbox.delete());
  return sandbox;
}

describe('shapes', () => {
  // A new shape is booted once before it is kept as a template, which takes long where the CPU is emulated.
  test.each([
    [1, 128],
    [4, 2048],
  ])(
    '%i CPU and %i MB are what the guest has',
    async (cpuCount, memoryMB) => {
      const sandbox = await make({ cpuCount, memoryMB });
      expect(await sandbox.info()).toMatchObject({ cpuCount, memoryMB, status: 'running' });
      expect(await sandbox.output('nproc')).toBe(String(cpuCount));
      const kilobytes = Number(await sandbox.output("awk '/^MemTotal/ {print $2}' /proc/meminfo"));
      // What the kernel keeps for itself is not in the total.
      expect(kilobytes / 1024).toBeLessThanOrEqual(memoryMB);
      expect(kilobytes / 1024).toBeGreaterThan(memoryMB * 0.8 - 40);
      expect(await sandbox.output('python3 -c "print(sum(range(1000)))"')).toBe('499500');
    },
    400_000,
  );
});

describe('the idle timeout', () => {
  test('hibernates a sandbox that nobody uses; the reason can be read, and the next operation wakes it', async () => {
    const sandbox = await make({ timeout: 2 });
    await sandbox.output('echo kept > /dev/shm/memory');
    await eventually('it hibernates', async () => (await sandbox.info()).status === 'hibernated');
    const events = await sandbox.call('GET', '/events');
    expect(events.status).toBe(200);
    expect(events.text).toMatch(/idle for 2 s/);
    expect(await sandbox.output('cat /dev/shm/memory')).toBe('kept');
    expect((await sandbox.call('DELETE', '')).status).toBe(204);
  });

  test('starts again with every operation, and reading the status is none', async () => {
    const created = Date.now();
    const sandbox = await make({ timeout: 5 });
    expect(Date.parse((await sandbox.info()).endAt)).toBeGreaterThan(created + 5000);
    for (const operation of [
      () => sandbox.output('true'),
      () => sandbox.write('/tmp/x', 'x'),
      () => sandbox.call('GET', '/files/list?path=/tmp'),
    ]) {
      const before = Date.now();
      await operation();
      const end = Date.parse((await sandbox.info()).endAt);
      expect(end).toBeGreaterThan(before + 5000);
    }
    await eventually('it hibernates although its status is read', async () =>
      (await sandbox.info()).status === 'hibernated' ? true : undefined,
    );
  });

  test('does not run out while a command runs', async () => {
    const sandbox = await make({ timeout: 1 });
    const result = await sandbox.output('sleep 4; echo finished', { timeout: 60 });
    expect(result).toBe('finished');
    const path = await sandbox.call('POST', '/exec/run-async', {
      json: { cmd: 'sh', args: ['-c', 'sleep 4; date > ~/ended'] },
    });
    expect(path.status).toBe(202);
    await eventually('it hibernates once the command nobody waits for has ended', async () =>
      (await sandbox.info()).status === 'hibernated' ? true : undefined,
    );
    // A second of silence after a command of four: sooner would have cut it off.
    expect(await sandbox.output('cat ~/ended')).toMatch(/UTC/);
  });

  test('can be changed, and 0 means never', async () => {
    const sandbox = await make({ timeout: 3600 });
    expect((await sandbox.call('POST', '/timeout', { json: { timeout: 0 } })).status).toBe(204);
    expect(await sandbox.info()).toMatchObject({ timeout: 0, endAt: '0001-01-01T00:00:00Z' });
    expectError(
      await sandbox.call('POST', '/timeout', { json: { timeout: -1 } }),
      400,
      'invalid_request',
      /timeout/,
    );
    expectError(
      await sandbox.call('POST', '/timeout', { json: { timeout: 1.5 } }),
      400,
      'invalid_request',
      /timeout/,
    );
    expectError(await sandbox.call('POST', '/timeout', { json: {} }), 400, 'invalid_request', /timeout/);
    expect(await sandbox.info()).toMatchObject({ timeout: 0, status: 'running' });
    expect((await sandbox.call('POST', '/timeout', { json: { timeout: 1 } })).status).toBe(204);
    await eventually('it hibernates', async () => (await sandbox.info()).status === 'hibernated');
  });
});

describe('the end of a sandbox', () => {
  test('a guest that powers itself off is an error with a reason, and can be deleted', async () => {
    const sandbox = await make();
    await sandbox.exec('sudo', ['systemd-run', 'sh', '-c', 'sleep 1; systemctl poweroff --force --force']);
    const info = await eventually('its status says so', async () => {
      const now = await sandbox.info();
      return now.status === 'running' ? undefined : now;
    });
    expect(info.status).toBe('error');
    expect(info.statusReason).toMatch(/powered itself off/);
    expectError(await sandbox.exec('true'), 410, 'sandbox_stopped');
    expect((await sandbox.call('POST', '/wake', { json: {} })).status).toBe(200);
    expect(await sandbox.info()).toMatchObject({ status: 'running', startedFrom: 'disk' });
    expect(await sandbox.output('echo back')).toBe('back');
  });

  test('a guest whose kernel panics boots again by itself, and its operations wait for it', async () => {
    const sandbox = await make();
    const before = await sandbox.output('echo kept > ~/file; sync; cat /proc/sys/kernel/random/boot_id');
    void sandbox.exec('sudo', ['sh', '-c', 'echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger'], {
      timeout: 20,
    });
    await eventually(
      'it has booted',
      async () => {
        const answer = await sandbox.exec('cat', ['/proc/sys/kernel/random/boot_id'], { timeout: 60 });
        return answer.status === 200 && !answer.text.includes(before) ? true : undefined;
      },
      { withinMs: 240_000 },
    );
    expect(await sandbox.output('cat ~/file')).toBe('kept');
    const reason = expect.stringContaining('restarted') as string;
    const info = await eventually('its status says so', async () => {
      const now = await sandbox.info();
      return now.startedFrom === 'disk' ? now : undefined;
    });
    expect(info).toMatchObject({ status: 'running', coldBootReason: reason });
    const { body } = await sandbox.call('GET', '/events');
    expect(body).toContainEqual(expect.objectContaining({ kind: 'coldBoot', actor: 'system', reason }));
  });

  test('deleted ones are stopped, refuse, and stay readable', async () => {
    const sandbox = await make();
    const running = sandbox.exec('sleep', ['600'], { timeout: 600 });
    await eventually('the command runs', async () => (await sandbox.output('pgrep -c sleep')) !== '0');
    expect((await sandbox.call('DELETE', '')).status).toBe(204);
    const answer = await running;
    expect(answer.text).toMatch(/"code":"(sandbox_stopped|guest_failed|worker_unavailable)"/);
    expect(await sandbox.info()).toMatchObject({ status: 'stopped', statusReason: 'killed by the client' });
    expect((await sandbox.call('DELETE', '')).status).toBe(204);
    expectError(await sandbox.exec('true'), 410, 'sandbox_stopped');
  });
});

describe('listing', () => {
  test('filters by status and metadata, newest first, in pages', async () => {
    const tag = `t${Date.now()}`;
    const one = await make({ metadata: { tag, n: '1', 'odd key=&[]': 'v \u00fc' } });
    const two = await make({ metadata: { tag, n: '2' } });
    const ids = async (query: string): Promise<string[]> =>
      (await sharedApi().list(query)).map(({ sandboxID }) => sandboxID);
    const byTag = `&metadata[tag]=${tag}`;
    expect(await ids(byTag)).toEqual([two.id, one.id]);
    expect(await ids(`${byTag}&metadata[n]=1`)).toEqual([one.id]);
    expect(await ids(`${byTag}&metadata[n]=3`)).toEqual([]);
    expect(
      await ids(`&${encodeURIComponent('metadata[odd key=&[]]')}=${encodeURIComponent('v \u00fc')}`),
    ).toEqual([one.id]);
    const page = await sharedApi().call('GET', `/api/sandboxes?limit=1${byTag}`);
    expect(JSON.parse(page.text)).toMatchObject([{ sandboxID: two.id }]);
    const cursor = encodeURIComponent(page.headers.get('x-next-cursor') ?? '');
    const next = await sharedApi().call('GET', `/api/sandboxes?limit=1${byTag}&cursor=${cursor}`);
    expect(JSON.parse(next.text)).toMatchObject([{ sandboxID: one.id }]);
    await one.delete();
    expect(await ids(byTag)).toEqual([two.id]);
    expect(await ids(`${byTag}&status=stopped`)).toEqual([one.id]);
    expect(await ids(`${byTag}&status=all`)).toEqual([two.id, one.id]);
    expectError(
      await sharedApi().call('GET', '/api/sandboxes?status=nonsense'),
      400,
      'invalid_request',
      /status/,
    );
    expectError(await sharedApi().call('GET', '/api/sandboxes?limit=0'), 400, 'invalid_request', /limit/);
    expectError(
      await sharedApi().call('GET', '/api/sandboxes?cursor=%00nonsense'),
      400,
      'invalid_request',
      /cursor/,
    );
  });
});
