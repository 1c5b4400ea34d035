import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, TestServer } from '../testing/harness.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const read = async (id: string) => (await server.call('GET', `/api/sandboxes/${id}`)).json;
const inError = (id: string) =>
  eventually('in error', async () => (await read(id)).status === 'error', 10_000);
const spec = { template: 'base', cpuCount: 1, memoryMB: 1024, diskMB: 20480, hostname: 'x', env: {} };

/** Breaks the connection to the worker and lets it come back. */
async function reconnect(meanwhile: () => void): Promise<void> {
  await server.worker.kill();
  meanwhile();
  const lists = server.worker.calls.filter((call) => call === 'GET machines').length;
  await server.worker.listen();
  await eventually(
    'compared',
    () => server.worker.calls.filter((call) => call === 'GET machines').length > lists,
    10_000,
  );
}

describe('a machine that is lost', () => {
  test('is told of at once when the worker says so, and the others do not notice', async () => {
    const [lost, other] = [await server.create(), await server.create()];
    server.worker.failMachine(lost, 'QEMU was killed by signal 9');
    await inError(lost);
    expect(await read(lost)).toMatchObject({ statusReason: 'QEMU was killed by signal 9' });
    expect((await read(other)).status).toBe('running');
    expect(server.worker.machines.has(lost)).toBe(true);
    expect((await server.call('DELETE', `/api/sandboxes/${lost}`)).status).toBe(204);
    expect(server.worker.machines.has(lost)).toBe(false);
    expect((await read(lost)).status).toBe('stopped');
  });

  test('is found when the worker comes back without it, or with it failed', async () => {
    const [missing, failed, kept] = [await server.create(), await server.create(), await server.create()];
    await reconnect(() => {
      server.worker.machines.delete(missing);
      server.worker.failMachine(failed, 'died meanwhile', false);
    });
    await inError(missing);
    await inError(failed);
    expect((await read(missing)).statusReason).toContain('no machine');
    expect((await read(failed)).statusReason).toBe('died meanwhile');
    expect((await read(kept)).status).toBe('running');
  });

  test('is not concluded from a worker that cannot be reached', async () => {
    const id = await server.create();
    await server.worker.kill();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await read(id)).status).toBe('running');
    const ready = await server.call('GET', '/readyz');
    expect([ready.status, ready.json]).toEqual([
      503,
      { status: 'not_ready', database: true, worker: false, reason: 'the worker is not connected' },
    ]);
    await server.worker.listen();
    await eventually('ready', async () => (await server.call('GET', '/readyz')).status === 200, 10_000);
    expect((await read(id)).status).toBe('running');
  });
});

test('a machine whose sandbox has stopped is deleted, one that belongs to none is only named', async () => {
  const id = await server.create();
  await server.call('DELETE', `/api/sandboxes/${id}`);
  await reconnect(() => {
    server.worker.addMachine(id, spec);
    server.worker.addMachine('sb-ffffffff', spec);
  });
  await eventually('deleted', () => !server.worker.machines.has(id));
  expect(server.worker.machines.has('sb-ffffffff')).toBe(true);
  expect((await server.call('GET', '/metrics')).text).toContain('opencomputer_unknown_machines 1');
});

test('events that make no sense are passed over', async () => {
  const id = await server.create();
  server.worker.send({ type: 'machineFailed', id: '../../etc', reason: 'x' });
  server.worker.send({ type: 'unheard of' });
  server.worker.failMachine(id, 'real');
  await inError(id);
});
