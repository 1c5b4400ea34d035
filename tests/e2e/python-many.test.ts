import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import type { SandboxHandle } from '../conformance/clients/client.ts';
import { ourPython } from '../conformance/clients/python.ts';

const count = 50;

describe('fifty creates at once in one Python process', () => {
  afterAll(() => ourPython.stop?.());

  test('all succeed, and each is a machine of its own', { timeout: 900_000 }, async () => {
    const create = (n: number): Promise<SandboxHandle> =>
      ourPython.create({ memoryMB: 128, metadata: { number: String(n) }, timeout: 0 });
    const outcomes = await Promise.allSettled(Array.from({ length: count }, (_, n) => create(n)));
    const sandboxes = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    onTestFinished(async () => {
      await Promise.all(sandboxes.map((sandbox) => sandbox.kill()));
    }, 600_000);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
    const names = await Promise.all(
      sandboxes.map(async (sandbox) => (await sandbox.exec.run('hostname', { timeout: 300 })).stdout.trim()),
    );
    expect(names).toEqual(sandboxes.map(({ sandboxId }) => sandboxId));
    expect(new Set(names).size).toBe(count);
  });
});
