import { createHash } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import type { SandboxHandle } from '../conformance/clients/client.ts';
import { ourPython } from '../conformance/clients/python.ts';
import { LiveClient } from '../support/live-client.ts';
import { sharedApi } from '../support/shared.ts';

const count = 50;
const streaming = 20;
const megabytes = 4;
/** The guest makes the same bytes from the same words. */
const script = (word: string): string =>
  `yes ${word} | head -c ${megabytes}M | tee /tmp/sent; sha256sum </tmp/sent >&2`;

describe('many sandboxes at once', { timeout: 900_000 }, () => {
  let sandboxes: SandboxHandle[] = [];
  afterAll(async () => {
    await Promise.all(sandboxes.map((sandbox) => sandbox.kill()));
    await ourPython.stop?.();
  });

  test(`${count} that one Python process creates all succeed, and each is a machine of its own`, async () => {
    const create = (n: number): Promise<SandboxHandle> =>
      ourPython.create({ memoryMB: 128, metadata: { number: String(n) }, timeout: 0 });
    const outcomes = await Promise.allSettled(Array.from({ length: count }, (_, n) => create(n)));
    sandboxes = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
    const names = await Promise.all(
      sandboxes.map(async (sandbox) => (await sandbox.exec.run('hostname', { timeout: 300 })).stdout.trim()),
    );
    expect(names).toEqual(sandboxes.map(({ sandboxId }) => sandboxId));
    expect(new Set(names).size).toBe(count);
  });

  test(`${streaming} that stream drop no byte`, async () => {
    const chosen = sandboxes.slice(0, streaming).map(({ sandboxId }) => sharedApi().sandbox(sandboxId));
    expect(chosen).toHaveLength(streaming);
    const clients = await Promise.all(
      chosen.map(async (sandbox, index) => {
        const { client } = await LiveClient.start(sandbox, 'sh', ['-c', script(`stream-${index}`)]);
        return client;
      }),
    );
    await Promise.all(clients.map((client) => client.end()));
    for (const client of clients) {
      const received = client.output(1);
      expect(received.length).toBe(megabytes * 1024 * 1024);
      const [sent] = client.output(2).toString().split(' ');
      expect(createHash('sha256').update(received).digest('hex')).toBe(sent);
      expect(client.exitCode).toBe(0);
    }
  });
});
