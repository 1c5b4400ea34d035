import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiError, hibernatedSchema, sandboxEventSchema, sandboxSchema } from '@opencomputer/protocol';
import { standstill } from '@opencomputer/testing/standstill';
import { eventually, TestServer } from '../testing/harness.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ OPENCOMPUTER_MAX_SANDBOXES: '60' });
});
afterAll(() => server[Symbol.asyncDispose]());

const at = (id: string, rest = '') => `/api/sandboxes/${id}${rest}`;
const post = (id: string, rest: string, body?: unknown) => server.call('POST', at(id, rest), body);
const read = async (id: string) => (await server.call('GET', at(id))).json;
const run = (id: string, cmd: string, args: string[] = []) => post(id, '/exec/run', { cmd, args });
const kinds = async (id: string) =>
  (await server.call('GET', at(id, '/events'))).json.map((event: { kind: string }) => event.kind);

describe('hibernation', () => {
  test('keeps memory and disk, and tells what clients read', async () => {
    const id = await server.create({ timeout: 120 });
    expect((await run(id, 'count')).json.stdout).toBe('1');
    await server.call('PUT', at(id, '/files?path=/a'), 'text');
    const hibernated = await post(id, '/hibernate', '');
    expect(hibernated.status).toBe(200);
    expect(hibernatedSchema.parse(hibernated.json)).toMatchObject({
      sandboxID: id,
      sandboxId: id,
      status: 'hibernated',
      sizeBytes: 4096,
      template: 'base',
      region: 'local',
    });
    expect(await read(id)).toMatchObject({
      status: 'hibernated',
      hibernatedAt: hibernated.json.hibernatedAt,
      endAt: '0001-01-01T00:00:00Z',
    });
    expect((await post(id, '/hibernate')).json).toEqual(hibernated.json);
    const woken = await post(id, '/wake', { timeout: 0 });
    expect(woken.status).toBe(200);
    expect(sandboxSchema.parse(woken.json)).toMatchObject({
      status: 'running',
      timeout: 0,
      startedFrom: 'memory',
    });
    expect(woken.json).not.toHaveProperty('hibernatedAt');
    expect(woken.json).not.toHaveProperty('statusReason');
    expect((await run(id, 'count')).json.stdout).toBe('2');
    expect((await server.call('GET', at(id, '/files?path=/a'))).text).toBe('text');
    expect((await post(id, '/wake', {})).json).toMatchObject({ status: 'running', timeout: 0 });
    expect(await kinds(id)).toEqual(['create', 'created', 'hibernate', 'wake', 'setTimeout']);
  });

  test('and waking, thirty times over, lose nothing', async () => {
    const id = await server.create();
    for (let round = 1; round <= 30; round += 1) {
      expect((await post(id, '/hibernate')).status).toBe(200);
      expect((await run(id, 'count')).json.stdout).toBe(String(round));
    }
    expect((await read(id)).timeout).toBe(300);
  });

  test.each([
    ['exec/run', (id: string) => run(id, 'echo', ['x'])],
    ['exec/run-async', (id: string) => post(id, '/exec/run-async', { cmd: 'echo' })],
    ['a read', (id: string) => server.call('GET', at(id, '/files/list?path=/'))],
    ['an upload', (id: string) => server.call('PUT', at(id, '/files?path=/b'), 'x')],
    ['a deletion', (id: string) => server.call('DELETE', at(id, '/files?path=/b'))],
    ['a directory', (id: string) => post(id, '/files/mkdir?path=/c')],
    ['setTimeout', (id: string) => post(id, '/timeout', { timeout: 300 })],
    ['a checkpoint', (id: string) => post(id, '/checkpoints', { name: 'c' })],
    ['a reboot', (id: string) => post(id, '/reboot')],
    ['a power-cycle', (id: string) => post(id, '/power-cycle')],
  ])('is ended by %s, also when the row is out of date', async (_name, use) => {
    const id = await server.create();
    await post(id, '/hibernate');
    expect((await use(id)).status).toBeLessThan(300);
    expect(await read(id)).toMatchObject({ status: 'running', timeout: 300 });
    server.worker.simulated.hibernate(id);
    const answer = await use(id);
    // The body of an upload can be read once only, and the name of a checkpoint is used once.
    if (_name === 'an upload') expect(answer.json).toMatchObject({ code: 'worker_unavailable' });
    else if (_name === 'a checkpoint') expect(answer.json).toMatchObject({ code: 'name_taken' });
    else expect(answer.status).toBeLessThan(300);
    if (!['setTimeout', 'a checkpoint'].includes(_name))
      expect(server.worker.machine(id).info.state).toBe('running');
    expect((await read(id)).status).toBe('running');
  });

  test('is ended by a signed URL', async () => {
    const id = await server.create();
    await server.call('PUT', at(id, '/files?path=/a'), 'text');
    const { url } = (await post(id, '/files/download-url', { path: '/a' })).json;
    await post(id, '/hibernate');
    expect(await (await fetch(url)).text()).toBe('text');
  });

  test('is ended once by ten operations at the same time', async () => {
    const id = await server.create();
    await post(id, '/hibernate');
    const before = server.worker.simulated.wakes;
    const wake = server.worker.hold('POST wake');
    const running = Array.from({ length: 10 }, () => run(id, 'count'));
    await eventually('asked', () => server.worker.calls.at(-1) === 'POST wake');
    // All of them have come and wait.
    await standstill(() => server.worker.calls.length);
    wake();
    const answers = await Promise.all(running);
    expect(answers.map((answer) => answer.status)).toEqual(Array(10).fill(200));
    expect(server.worker.simulated.wakes - before).toBe(1);
    expect((await run(id, 'count')).json.stdout).toBe('11');
  });

  test('in the middle of a command neither loses nor repeats it', async () => {
    const id = await server.create();
    const started = (await post(id, '/exec/run-async', { cmd: 'wait' })).json;
    await post(id, '/hibernate');
    const poll = await server.call('GET', at(id, `/exec/${started.execId}/result`));
    expect([poll.status, poll.json.running]).toEqual([200, true]);
    server.worker.machine(id).commands.endWaits();
    await eventually('ended', async () => {
      const { json } = await server.call('GET', at(id, `/exec/${started.execId}/result`));
      return json.running === false && json.exitCode === 0;
    });
    expect(server.worker.machine(id).commands.started).toBe(1);
  });

  test('that fails leaves the sandbox running, with the reason', async () => {
    const id = await server.create();
    server.worker.fail('POST hibernate', new ApiError('no_space', 'the disk is full'));
    expect((await post(id, '/hibernate')).json).toMatchObject({ code: 'no_space' });
    expect((await read(id)).status).toBe('running');
    const { json } = await server.call('GET', at(id, '/events'));
    expect(json.at(-1)).toMatchObject({ kind: 'hibernateFailed', reason: 'the disk is full' });
    expect((await run(id, 'count')).json.stdout).toBe('1');
  });

  test('whose memory cannot be restored says so', async () => {
    const id = await server.create();
    await post(id, '/hibernate');
    server.worker.simulated.coldBootReason = 'the image is damaged';
    const woken = await post(id, '/wake');
    server.worker.simulated.coldBootReason = undefined;
    expect(woken.json).toMatchObject({ startedFrom: 'disk', coldBootReason: 'the image is damaged' });
    const { json } = await server.call('GET', at(id, '/events'));
    expect(json.at(-1)).toMatchObject({ kind: 'coldBoot', reason: 'the image is damaged' });
    await post(id, '/hibernate');
    expect((await post(id, '/wake')).json).not.toHaveProperty('coldBootReason');
  });

  test('whose wake fails stays, and can be tried again', async () => {
    const id = await server.create();
    await post(id, '/hibernate');
    server.worker.fail('POST wake', new ApiError('no_capacity', 'no memory left'));
    expect((await run(id, 'count')).json).toMatchObject({ code: 'no_capacity' });
    expect((await read(id)).status).toBe('hibernated');
    expect((await run(id, 'count')).status).toBe(200);
  });

  test('can be killed', async () => {
    const id = await server.create();
    await post(id, '/hibernate');
    expect((await server.call('DELETE', at(id))).status).toBe(204);
    expect(server.worker.machines.has(id)).toBe(false);
    for (const rest of ['/hibernate', '/wake', '/reboot', '/power-cycle', '/checkpoints', '/fork']) {
      const body = rest === '/checkpoints' ? { name: 'x' } : {};
      expect((await post(id, rest, body)).json).toMatchObject({ code: 'sandbox_stopped' });
    }
  });
});

describe('a restart', () => {
  test.each(['reboot', 'power-cycle'])('by %s keeps id and disk and loses the processes', async (verb) => {
    const id = await server.create();
    await run(id, 'count');
    await server.call('PUT', at(id, '/files?path=/a'), 'text');
    expect((await post(id, `/${verb}`)).status).toBe(204);
    expect(await read(id)).toMatchObject({ status: 'running', startedFrom: 'disk' });
    expect((await run(id, 'count')).json.stdout).toBe('1');
    expect((await server.call('GET', at(id, '/files?path=/a'))).text).toBe('text');
  });

  test.each(['wake', 'reboot', 'power-cycle'])('by %s brings one in error back', async (verb) => {
    const id = await server.create();
    server.worker.failMachine(id, 'QEMU was killed');
    await eventually('in error', async () => (await read(id)).status === 'error');
    expect((await run(id, 'count')).json).toMatchObject({ code: 'sandbox_stopped' });
    expect((await post(id, '/hibernate')).json).toMatchObject({ code: 'sandbox_stopped' });
    expect((await post(id, `/${verb}`)).status).toBeLessThan(300);
    const now = await read(id);
    expect(now).toMatchObject({ status: 'running', startedFrom: 'disk' });
    expect(now).not.toHaveProperty('stoppedAt');
    if (verb === 'wake') expect(now.coldBootReason).toBe('QEMU was killed');
    expect((await run(id, 'count')).status).toBe(200);
  });
});

describe('events', () => {
  test('come in pages, oldest first', async () => {
    const id = await server.create();
    for (const timeout of [1000, 1001, 1002]) await post(id, '/timeout', { timeout });
    const first = await server.call('GET', at(id, '/events?limit=3'));
    const second = await server.call(
      'GET',
      at(id, `/events?limit=3&cursor=${first.headers.get('x-next-cursor')}`),
    );
    const all = [...first.json, ...second.json].map((event) => sandboxEventSchema.parse(event));
    expect(all.map(({ kind }) => kind)).toEqual([
      'create',
      'created',
      'setTimeout',
      'setTimeout',
      'setTimeout',
    ]);
    expect(second.headers.get('x-next-cursor')).toBeNull();
    expect((await server.call('GET', at(id, '/events?cursor=x'))).status).toBe(400);
    expect((await server.call('GET', at('sb-00000000', '/events'))).status).toBe(404);
  });
});

test('what hibernates does not count as live, and waking is bounded by what does', async () => {
  await using small = await TestServer.start({
    OPENCOMPUTER_MAX_SANDBOXES: '2',
    OPENCOMPUTER_MAX_HIBERNATED: '2',
  });
  const call = (id: string, rest: string) => small.call('POST', at(id, rest));
  const ids: string[] = [];
  for (let index = 0; index < 4; index += 1) {
    const id = await small.create();
    ids.push(id);
    if (index < 2) expect((await call(id, '/hibernate')).status).toBe(200);
  }
  const [first = '', , third = ''] = ids;
  expect((await call(third, '/hibernate')).json).toMatchObject({ code: 'too_many_sandboxes', limit: 2 });
  expect((await call(first, '/wake')).json).toMatchObject({ code: 'too_many_sandboxes', active: 2 });
  await small.call('DELETE', at(third));
  const woken = await Promise.all(ids.slice(0, 2).map((id) => call(id, '/wake')));
  expect(new Set(woken.map((answer) => answer.status))).toEqual(new Set([200, 429]));
});

test('the idle are hibernated, and tried again later when that fails', async () => {
  const id = await server.create({ timeout: 1 });
  await eventually('hibernated', async () => (await read(id)).status === 'hibernated');
  expect(await read(id)).toMatchObject({ statusReason: 'idle for 1 s', timeout: 1 });
  const other = await server.create({ timeout: 1 });
  server.worker.fail('POST hibernate', new ApiError('no_space', 'the disk is full'));
  await eventually('tried', async () => (await kinds(other)).includes('hibernateFailed'));
  expect((await read(other)).status).toBe('running');
});
