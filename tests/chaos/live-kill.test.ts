import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestSandbox } from '../support/api.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { countsUp, LiveClient, startSession } from '../support/live-client.ts';
import { TestPlatform } from '../support/platform.ts';

const counting = 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done';

describe('kill -9 in the middle of a stream', () => {
  let platform: TestPlatform;
  let sandbox: TestSandbox;
  beforeAll(async () => {
    platform = await TestPlatform.start();
    sandbox = await platform.api.create({ memoryMB: 512 });
  });
  afterAll(() => platform.destroy());

  async function counter(): Promise<{ id: string; client: LiveClient }> {
    const id = await startSession(sandbox, 'sh', ['-c', counting]);
    const client = await LiveClient.attach(sandbox, `exec/${id}`);
    await client.until('lines', () => client.output().toString().includes('\n20\n'));
    return { id, client };
  }

  test('of the worker: the client stays attached, with neither loss nor doubling', async () => {
    const { id, client } = await counter();
    for (let round = 0; round < 3; round += 1) {
      await platform.crash('worker');
      const before = client.output().length;
      await client.until('more lines', () => client.output().length > before + 500);
    }
    expect(countsUp(client.output().toString())).toBe(true);
    expect([client.closed, client.count('replayed')]).toEqual([undefined, 1]);
    await sandbox.call('POST', `/exec/${id}/kill`, { json: {} });
    await client.end();
    expect(client.exitCode).toBe(137);
  });

  test('of the server: the session goes on, and who attaches again gets all that is kept, in order', async () => {
    const { id, client } = await counter();
    await platform.crash('server');
    await client.end();
    await platform.ready();
    const again = await LiveClient.attach(sandbox, `exec/${id}`);
    await again.until('more lines', () => again.output().length > client.output().length + 500);
    expect(countsUp(again.output().toString())).toBe(true);
    const rest = await LiveClient.attach(sandbox, `exec/${id}`, `&from=${client.output().length}`);
    await rest.until('the rest', () => rest.output().length > 500);
    expect(countsUp(client.output().toString() + rest.output().toString())).toBe(true);
    await sandbox.call('POST', `/exec/${id}/kill`, { json: {} });
  });

  test('of a client: what it had typed arrives, and the others go on', async () => {
    const id = await startSession(sandbox, 'cat');
    const first = await LiveClient.attach(sandbox, `exec/${id}`);
    const second = await LiveClient.attach(sandbox, `exec/${id}`);
    first.send('x'.repeat(500_000));
    first.close();
    second.send('y');
    await second.until('both', () => second.output().length === 500_001);
    second.endInput();
    await second.end();
  });

  test('a fork bomb in a session leaves the others alone', async () => {
    const bomb = await startSession(sandbox, 'bash', ['-c', ':(){ :|:& };: ; sleep 600']);
    await eventually(
      'it is killed',
      async () => (await sandbox.call('POST', `/exec/${bomb}/kill`, { json: {} })).status === 200,
      { withinMs: 240_000 },
    );
    await eventually(
      'another session runs',
      async () => {
        const { client } = await LiveClient.start(sandbox, 'echo', ['alive']);
        await client.end();
        return client.output().toString() === 'alive\n';
      },
      { withinMs: 240_000 },
    );
  });
});
