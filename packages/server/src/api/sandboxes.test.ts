import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sandboxSchema } from '@opencomputer/protocol';
import { runKeysCommand } from '../commands/keys.ts';
import { eventually, expectBetween, TestServer } from '../testing/harness.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({
    OPENCOMPUTER_REGION: 'here',
    OPENCOMPUTER_SANDBOX_DOMAIN: 'sandbox.test',
  });
});
afterAll(() => server[Symbol.asyncDispose]());

describe('a sandbox', () => {
  test('is created as asked and told in full', async () => {
    const body = {
      templateID: 'base',
      timeout: 120,
      envs: { A: '1' },
      metadata: { project: 'x' },
      cpuCount: 2,
      memoryMB: 512,
    };
    const before = Date.now();
    const { status, json } = await server.call('POST', '/api/sandboxes', body);
    expect(status).toBe(201);
    expect(sandboxSchema.parse(json)).toMatchObject({
      status: 'running',
      templateID: 'base',
      template: 'base',
      cpuCount: 2,
      memoryMB: 512,
      diskMB: 20480,
      metadata: { project: 'x' },
      timeout: 120,
      region: 'here',
      workerID: 'worker-simulated',
      sandboxDomain: 'sandbox.test',
      emulated: true,
    });
    expectBetween(Date.parse(json.endAt) - 120_000, before, Date.now());
    expect(server.worker.machine(json.sandboxID).info.spec).toMatchObject({ cpuCount: 2, env: { A: '1' } });
    expect((await server.call('GET', `/api/sandboxes/${json.sandboxID}`)).json.sandboxID).toBe(
      json.sandboxID,
    );
  });

  test('says never where it never expires', async () => {
    const id = await server.create({ timeout: 0 });
    expect((await server.call('GET', `/api/sandboxes/${id}`)).json.endAt).toBe('0001-01-01T00:00:00Z');
  });

  test('takes "default" for the template that every installation has', async () => {
    const id = await server.create({ templateID: 'default' });
    expect((await server.call('GET', `/api/sandboxes/${id}`)).json.templateID).toBe('base');
  });

  test('gets another timeout', async () => {
    const id = await server.create();
    const before = Date.now();
    expect((await server.call('POST', `/api/sandboxes/${id}/timeout`, { timeout: 1000 })).status).toBe(204);
    const { json } = await server.call('GET', `/api/sandboxes/${id}`);
    expect(json.timeout).toBe(1000);
    expectBetween(Date.parse(json.endAt) - 1_000_000, before, Date.now());
    expect((await server.call('POST', `/api/sandboxes/${id}/timeout`, { timeout: -1 })).status).toBe(400);
    expect((await server.call('POST', `/api/sandboxes/${id}/timeout`, {})).status).toBe(400);
  });

  test('is killed with its machine', async () => {
    const id = await server.create();
    expect((await server.call('DELETE', `/api/sandboxes/${id}`)).status).toBe(204);
    expect(server.worker.machines.has(id)).toBe(false);
    expect((await server.call('GET', `/api/sandboxes/${id}`)).json).toMatchObject({
      status: 'stopped',
      statusReason: 'killed by the client',
      stoppedAt: expect.any(String),
    });
  });

  test('hibernates by itself when nobody uses it', async () => {
    const id = await server.create({ timeout: 1 });
    await eventually(
      'hibernated',
      async () => (await server.call('GET', `/api/sandboxes/${id}`)).json.status === 'hibernated',
    );
    const { json } = await server.call('GET', `/api/sandboxes/${id}`);
    expect(json.statusReason).toBe('idle for 1 s');
    expect(server.worker.machine(id).info.state).toBe('hibernated');
  });

  test('stays while a command runs that nobody asks about', async () => {
    const id = await server.create({ timeout: 1 });
    const path = `/api/sandboxes/${id}`;
    expect((await server.call('POST', `${path}/exec/run-async`, { cmd: 'wait' })).status).toBe(202);
    const { calls } = server.worker;
    const before = calls.length;
    // The clock asks what is in use when the time is over, and again when that has passed once more.
    const asked = (): number => calls.slice(before).filter((call) => call === 'GET use').length;
    await eventually('was asked about twice', () => asked() >= 2);
    expect((await server.call('GET', path)).json.status).toBe('running');
    server.worker.machine(id).commands.endWaits();
    await eventually('hibernated', async () => (await server.call('GET', path)).json.status === 'hibernated');
  });
});

describe('the list', () => {
  test('filters and pages, newest first', async () => {
    const made: string[] = [];
    for (let index = 0; index < 5; index += 1)
      made.push(await server.create({ metadata: { list: 'yes', 'odd key]': String(index % 2) } }));
    await server.call('DELETE', `/api/sandboxes/${made[4]}`);
    const ids = (json: { sandboxID: string }[]) => json.map((sandbox) => sandbox.sandboxID);
    const query = 'metadata[list]=yes';
    const live = await server.call('GET', `/api/sandboxes?${query}`);
    expect(ids(live.json).toSorted()).toEqual(made.slice(0, 4).toSorted());
    const every = await server.call('GET', `/api/sandboxes?${query}&status=all`);
    expect(every.json.length).toBe(5);
    const times = every.json.map((sandbox: { startedAt: string }) => Date.parse(sandbox.startedAt));
    expect(times).toEqual(times.toSorted((a: number, b: number) => b - a));
    expect(ids((await server.call('GET', `/api/sandboxes?${query}&status=stopped`)).json)).toEqual([made[4]]);
    expect((await server.call('GET', `/api/sandboxes?${query}&status=hibernated`)).json).toEqual([]);
    const odd = await server.call('GET', `/api/sandboxes?${query}&metadata%5Bodd%20key%5D%5D=1`);
    expect(ids(odd.json).toSorted()).toEqual(
      [String(made[1]), String(made[3])].toSorted((a, b) => a.localeCompare(b)),
    );

    const seen: string[] = [];
    let cursor = '';
    for (let page = 0; page < 10; page += 1) {
      const answer = await server.call('GET', `/api/sandboxes?${query}&status=all&limit=2${cursor}`);
      seen.push(...ids(answer.json));
      const next = answer.headers.get('x-next-cursor');
      if (next === null) break;
      cursor = `&cursor=${next}`;
    }
    expect(seen).toEqual(ids(every.json));
  });
});

describe('tenants', () => {
  test('do not see each other, and a revoked key ends at once', async () => {
    const store = await server.openStore();
    const [key = ''] = (await runKeysCommand(store, ['add', 'other', '--owner', 'acme'])).split('\n');
    const mine = await server.create();
    const headers = { 'x-api-key': key };
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['DELETE', '', undefined],
      ['POST', '/timeout', { timeout: 5 }],
      ['POST', '/exec/run', { cmd: 'echo' }],
      ['POST', '/exec/run-async', { cmd: 'echo' }],
      ['GET', '/exec/0a1b2c3d/result', undefined],
      ['GET', '/files?path=/a', undefined],
      ['PUT', '/files?path=/a', 'x'],
      ['DELETE', '/files?path=/a', undefined],
      ['GET', '/files/list', undefined],
      ['POST', '/files/mkdir?path=/a', undefined],
      ['POST', '/files/download-url', { path: '/a' }],
      ['POST', '/files/upload-url', { path: '/a' }],
    ] as const) {
      const answer = await server.call(method, `/api/sandboxes/${mine}${path}`, body, headers);
      expect([path, answer.status, answer.json.code]).toEqual([path, 404, 'sandbox_not_found']);
    }
    expect((await server.call('GET', '/api/sandboxes', undefined, headers)).json).toEqual([]);
    expect(server.worker.machines.has(mine)).toBe(true);
    await runKeysCommand(store, ['revoke', key]);
    await store.destroy();
    const list = () => server.call('GET', '/api/sandboxes', undefined, headers);
    await eventually('the revocation is noticed', async () => (await list()).status === 401);
  });
});

test('fifty at once all succeed', async () => {
  await using other = await TestServer.start();
  const ids = await Promise.all(Array.from({ length: 50 }, () => other.create()));
  expect(new Set(ids).size).toBe(50);
  expect(other.worker.machines.size).toBe(50);
});
