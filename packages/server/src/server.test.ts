import { statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { dataFiles, loadConfig } from './config.ts';
import { startServer } from './server.ts';
import { eventually, quietLog, TestServer } from './testing/harness.ts';

describe('the server', () => {
  test('a second one on the same data directory is refused, and the first goes on', async () => {
    await using first = await TestServer.start();
    const second = startServer(loadConfig(first.environment), { log: quietLog });
    await expect(second).rejects.toThrow(/another server uses the data directory/);
    expect((await first.call('GET', '/health')).status).toBe(200);
  });

  test('a taken address is named, and nothing stays locked', async () => {
    await using first = await TestServer.start();
    await using second = await TestServer.start();
    await second.stopServer();
    const listen = new URL(first.url).host;
    const config = loadConfig({ ...second.environment, OPENCOMPUTER_LISTEN: listen });
    await expect(startServer(config, { log: quietLog })).rejects.toThrow(
      /OPENCOMPUTER_LISTEN: cannot listen/,
    );
    await second.startServer();
  });

  test('keeps everything over a restart, and its files to itself', async () => {
    await using test = await TestServer.start();
    const id = await test.create({ metadata: { a: 'b' } });
    const killed = await test.create();
    await test.call('DELETE', `/api/sandboxes/${killed}`);
    await test.stopServer();
    await test.startServer();
    expect((await test.call('GET', `/api/sandboxes/${id}`)).json).toMatchObject({
      status: 'running',
      metadata: { a: 'b' },
    });
    expect((await test.call('GET', `/api/sandboxes/${killed}`)).json.status).toBe('stopped');
    const run = await test.call('POST', `/api/sandboxes/${id}/exec/run`, { cmd: 'echo', args: ['x'] });
    expect(run.json.stdout).toBe('x\n');
    expect(statSync(dataFiles(test.directory).directory).mode & 0o777).toBe(0o700);
  });

  test('starts without a worker, and does not wait for it', async () => {
    await using test = await TestServer.start();
    await test.stopServer();
    await test.worker.kill();
    await test.startServer(false);
    expect((await test.call('GET', '/healthz')).status).toBe(200);
    await test.worker.listen();
    await eventually('ready', async () => (await test.call('GET', '/readyz')).status === 200);
  });

  test('lets requests finish before it stops', async () => {
    await using test = await TestServer.start();
    const id = await test.create();
    const slow = test.call('POST', `/api/sandboxes/${id}/exec/run`, { cmd: 'wait' });
    const { commands } = test.worker.machine(id);
    await eventually('started', () => commands.running === 1);
    const { url } = test;
    const stopping = test.stopServer();
    await eventually('it takes no more', () =>
      fetch(`${url}/healthz`).then(
        () => false,
        () => true,
      ),
    );
    commands.endWaits();
    expect((await slow).json).toMatchObject({ exitCode: 0 });
    await stopping;
  });

  test('a create that the stop cut off is undone at the next start', async () => {
    await using test = await TestServer.start();
    await test.stopServer();
    // Nothing that is under way ends within it.
    test.graceMs = 0;
    await test.startServer();
    test.worker.fail('PUT machine', 'refuse', 1000);
    const creating = test.call('POST', '/api/sandboxes', {}).catch(() => undefined);
    await eventually('asked', () => test.worker.calls.includes('PUT machine'));
    const stopping = test.stopServer();
    await Promise.all([creating, stopping]);
    await test.startServer();
    const all = async () => (await test.call('GET', '/api/sandboxes?status=all')).json;
    await eventually('undone', async () =>
      (await all()).every((one: { status: string }) => one.status === 'stopped'),
    );
    expect(test.worker.machines.size).toBe(0);
  });
});
