import { createHash } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import type { TestSandbox } from '../support/api.ts';
import { LiveClient } from '../support/live-client.ts';
import { sharedApi } from '../support/shared.ts';

const count = 20;
const megabytes = 4;
/** The guest makes the same bytes from the same words. */
const script = (word: string): string =>
  `yes ${word} | head -c ${megabytes}M | tee /tmp/sent; sha256sum </tmp/sent >&2`;

describe('twenty sandboxes that stream at once', () => {
  const sandboxes: TestSandbox[] = [];
  afterAll(() => Promise.all(sandboxes.map((sandbox) => sandbox.delete())));

  test('drop no byte', { timeout: 900_000 }, async () => {
    for (let made = 0; made < count; made++) sandboxes.push(await sharedApi().create({ memoryMB: 128 }));
    const clients = await Promise.all(
      sandboxes.map(async (sandbox, index) => {
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
