import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiError } from '@opencomputer/protocol';
import { eventually, TestServer } from '../testing/harness.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const read = async (id: string) => (await server.call('GET', `/api/sandboxes/${id}`)).json;
const inError = (id: string) => eventually('in error', async () => (await read(id)).status === 'error');
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
    const events = async () => (await server.call('GET', `/api/sandboxes/${id}/events`)).json;
    const before = await events();
    await server.worker.kill();
    await eventually('noticed', async () => (await server.call('GET', '/readyz')).status !== 200);
    expect((await read(id)).status).toBe('running');
    const ready = await server.call('GET', '/readyz');
    expect([ready.status, ready.json]).toEqual([
      503,
      { status: 'not_ready', database: true, worker: false, reason: 'the worker is not connected' },
    ]);
    await server.worker.listen();
    await eventually('ready', async () => (await server.call('GET', '/readyz')).status === 200);
    expect((await read(id)).status).toBe('running');
    expect(await events()).toEqual(before);
  });
});

describe('a guest that restarts itself', () => {
  const events = async (id: string) => (await server.call('GET', `/api/sandboxes/${id}/events`)).json;
  const told = async (id: string) => {
    await eventually('told', async () => (await read(id)).startedFrom === 'disk');
    expect(await read(id)).toMatchObject({ status: 'running', coldBootReason: 'the guest restarted' });
    expect((await events(id)).at(-1)).toMatchObject({
      kind: 'coldBoot',
      actor: 'system',
      reason: 'the guest restarted',
    });
  };

  test('is told of at once when the worker says so, every time', async () => {
    const id = await server.create();
    for (const count of [1, 2]) {
      server.worker.simulated.restart(id, 'the guest restarted');
      server.worker.send({ type: 'machineRestarted', id });
      await eventually('in the events', async () => {
        const kinds = (await events(id)).map((event: { kind: string }) => event.kind);
        return kinds.filter((kind: string) => kind === 'coldBoot').length === count;
      });
      await told(id);
    }
  });

  test('is found where nobody listened, and told once', async () => {
    const id = await server.create();
    await reconnect(() => void server.worker.simulated.restart(id, 'the guest restarted'));
    await told(id);
    await reconnect(() => undefined);
    const kinds = (await events(id)).map((event: { kind: string }) => event.kind);
    expect(kinds.filter((kind: string) => kind === 'coldBoot')).toHaveLength(1);
  });

  test('is no news where its sandbox does not run, or is not there', async () => {
    const id = await server.create();
    await server.call('POST', `/api/sandboxes/${id}/hibernate`);
    const before = await events(id);
    server.worker.send({ type: 'machineRestarted', id });
    server.worker.send({ type: 'machineRestarted', id: 'sb-00000000' });
    await reconnect(() => undefined);
    expect(await events(id)).toEqual(before);
    expect((await read(id)).status).toBe('hibernated');
  });
});

describe('a machine that is in another state than its row', () => {
  test('is believed: hibernated, running, or back from an error', async () => {
    const [asleep, awake, back] = [await server.create(), await server.create(), await server.create()];
    await server.call('POST', `/api/sandboxes/${awake}/hibernate`);
    server.worker.failMachine(back, 'killed');
    await inError(back);
    await reconnect(() => {
      server.worker.simulated.hibernate(asleep);
      server.worker.simulated.wake(awake);
      server.worker.simulated.wake(back);
    });
    await eventually('hibernated', async () => (await read(asleep)).status === 'hibernated');
    await eventually('running', async () => (await read(awake)).status === 'running');
    await eventually('back', async () => (await read(back)).status === 'running');
    expect(await read(back)).toMatchObject({ startedFrom: 'disk', coldBootReason: 'killed' });
    const { json } = await server.call('GET', `/api/sandboxes/${asleep}/events`);
    expect(json.at(-1)).toMatchObject({ kind: 'hibernate', actor: 'system', reason: expect.any(String) });
  });

  test('and gone is an error', async () => {
    const id = await server.create();
    await server.call('POST', `/api/sandboxes/${id}/hibernate`);
    await reconnect(() => void server.worker.machines.delete(id));
    await inError(id);
    expect((await server.call('POST', `/api/sandboxes/${id}/wake`)).json.code).toBe('sandbox_stopped');
    expect((await server.call('DELETE', `/api/sandboxes/${id}`)).status).toBe(204);
  });
});

test('checkpoints and snapshots are compared: what is missing has failed, what is unknown is only named', async () => {
  const id = await server.create();
  const take = async (name: string) =>
    (await server.call('POST', `/api/sandboxes/${id}/checkpoints`, { name })).json.id;
  const [kept, missing] = [await take('kept'), await take('missing')];
  const { snapshots } = server.worker.simulated;
  const unknown = '00000000-0000-4000-8000-000000000000';
  const keptSnapshot = snapshots.get(kept);
  if (keptSnapshot === undefined) throw new Error('no snapshot');
  server.worker.fail('PUT snapshot', new ApiError('snapshot_failed', 'no'));
  await server.call('POST', `/api/sandboxes/${id}/checkpoints`, { name: 'undone' });
  const list = async () => (await server.call('GET', `/api/sandboxes/${id}/checkpoints`)).json;
  const [undone] = await list();
  expect(undone.status).toBe('failed');
  await reconnect(() => {
    snapshots.delete(missing);
    for (const other of [unknown, undone.id])
      snapshots.set(other, { ...keptSnapshot, info: { ...keptSnapshot.info, id: other } });
  });
  await eventually('undone deleted', () => !snapshots.has(undone.id));
  expect(new Set(snapshots.keys())).toEqual(new Set([unknown, kept]));
  const states = (await list()).map((row: { name: string; status: string }) => [row.name, row.status]);
  expect(states).toEqual([
    ['undone', 'failed'],
    ['missing', 'failed'],
    ['kept', 'ready'],
  ]);
  await eventually('named', async () =>
    (await server.call('GET', '/metrics')).text.includes(
      'opencomputer_unknown_snapshots{worker="worker-simulated"} 1',
    ),
  );
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
  expect((await server.call('GET', '/metrics')).text).toContain(
    'opencomputer_unknown_machines{worker="worker-simulated"} 1',
  );
});

test('events that make no sense are passed over', async () => {
  const id = await server.create();
  server.worker.send({ type: 'machineFailed', id: '../../etc', reason: 'x' });
  server.worker.send({ type: 'unheard of' });
  server.worker.failMachine(id, 'real');
  await inError(id);
});
