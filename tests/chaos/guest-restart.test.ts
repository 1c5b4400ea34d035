import { expect, test } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import { sharedApi } from '../support/shared.ts';

test('a guest that restarts by itself is booted again, and its sandbox says so', async () => {
  const sandbox = await sharedApi().create({ timeout: 0 });
  await sandbox.output('echo kept > ~/kept; sync');
  // Its kernel goes down at once, as in a crash.
  const crash = sandbox.run('echo b | sudo tee /proc/sysrq-trigger', { timeout: 5 });
  crash.catch(() => undefined);
  const info = await eventually(
    'its sandbox says so',
    async () => {
      const now = await sandbox.info();
      return now.startedFrom === 'disk' ? now : undefined;
    },
    { withinMs: 150_000 },
  );
  expect(info).toMatchObject({ status: 'running', coldBootReason: expect.stringContaining('restarted') });
  expect(await sandbox.output('cat ~/kept')).toBe('kept');
  const { body } = await sandbox.call('GET', '/events');
  expect(body).toContainEqual(
    expect.objectContaining({
      kind: 'coldBoot',
      actor: 'system',
      reason: expect.stringContaining('restarted'),
    }),
  );
  await crash.catch(() => undefined);
  await sandbox.delete();
});
