import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiError, checkpointSchema, sandboxSchema } from '@opencomputer/protocol';
import { standstill } from '@opencomputer/testing/standstill';
import { eventually, TestServer } from '../testing/harness.ts';

let server: TestServer;
let stranger: string;
beforeAll(async () => {
  server = await TestServer.start({ OPENCOMPUTER_MAX_SANDBOXES: '1000' });
  stranger = await server.anotherKey('stranger');
});
afterAll(() => server[Symbol.asyncDispose]());

const at = (id: string, rest = '') => `/api/sandboxes/${id}${rest}`;
const post = (id: string, rest: string, body?: unknown) => server.call('POST', at(id, rest), body);
const read = async (id: string) => (await server.call('GET', at(id))).json;
const run = (id: string, cmd: string, args: string[] = []) => post(id, '/exec/run', { cmd, args });
const count = async (id: string) => (await run(id, 'count')).json.stdout;
const list = async (id: string) => (await server.call('GET', at(id, '/checkpoints'))).json;
const fork = (cid: string, body?: unknown, headers?: Record<string, string>) =>
  server.call('POST', at('from-checkpoint', `/${cid}`), body, headers);
const as = (key: string) => ({ 'x-api-key': key });
const unknown = '00000000-0000-4000-8000-000000000000';

async function take(id: string, name: string, more: object = {}) {
  const { status, json } = await post(id, '/checkpoints', { name, ...more });
  expect(status).toBe(201);
  return checkpointSchema.parse(json);
}

describe('a checkpoint', () => {
  test('is told in full, and the sandbox goes on', async () => {
    const id = await server.create({ cpuCount: 2, memoryMB: 512 });
    await run(id, 'count');
    const checkpoint = await take(id, 'ready');
    expect(checkpoint).toMatchObject({
      sandboxId: id,
      name: 'ready',
      kind: 'full',
      status: 'ready',
      sizeBytes: 4096,
      isPublic: false,
      pauseMs: 1.5,
      quiesced: true,
      sandboxConfig: { template: 'base', cpuCount: 2, memoryMB: 512, diskMB: 20480 },
    });
    expect(checkpoint).not.toHaveProperty('parentCheckpointId');
    expect(await count(id)).toBe('2');
    expect(await list(id)).toEqual([checkpoint]);
    const second = await take(id, 'later', { kind: 'disk_only' });
    expect(second.parentCheckpointId).toBe(checkpoint.id);
    expect((await list(id)).map((row: { name: string }) => row.name)).toEqual(['later', 'ready']);
    expect((await server.call('DELETE', at(id, `/checkpoints/${checkpoint.id}`))).status).toBe(204);
    expect(server.worker.simulated.snapshots.has(checkpoint.id)).toBe(false);
    expect(await list(id)).toHaveLength(1);
    expect((await server.call('DELETE', at(id, `/checkpoints/${checkpoint.id}`))).status).toBe(404);
  });

  test.each([
    ['no name', {}],
    ['an empty name', { name: '' }],
    ['a long name', { name: 'x'.repeat(129) }],
    ['a strange name', { name: 'a\nb' }],
    ['white space around it', { name: ' a' }],
    ['a kind that there is not', { name: 'a', kind: 'half' }],
    ['promotion of a full one', { name: 'a', promoteToFull: true }],
    ['a count of none', { name: 'a', retentionPolicy: { mode: 'delete_oldest', maxCount: 0 } }],
    ['a count beyond the limit', { name: 'a', retentionPolicy: { mode: 'delete_oldest', maxCount: 11 } }],
    ['a demand that is neither yes nor no', { name: 'a', requireQuiesced: 'yes' }],
    ['an unknown policy', { name: 'a', retentionPolicy: { mode: 'all' } }],
  ])('with %s is refused', async (_name, body) => {
    const id = await server.create();
    const { status, json } = await post(id, '/checkpoints', body);
    expect([status, json.code]).toEqual([400, 'invalid_request']);
    expect(json.hint).toEqual(expect.any(String));
    expect(await list(id)).toEqual([]);
  });

  test('of disk alone can be made a full one at once', async () => {
    const id = await server.create();
    expect(await take(id, 'a', { kind: 'disk_only', promoteToFull: true })).toMatchObject({ kind: 'full' });
  });

  test('says when the guest was saved as it was, and can be refused then', async () => {
    const id = await server.create();
    server.worker.simulated.restless.add(id);
    expect(await take(id, 'as it was')).toMatchObject({ status: 'ready', quiesced: false });
    const refused = await post(id, '/checkpoints', { name: 'at rest', requireQuiesced: true });
    expect([refused.status, refused.json.code]).toEqual([500, 'snapshot_failed']);
    expect(refused.json.error).toMatch(/did not come to rest/);
    expect(await list(id)).toMatchObject([
      { name: 'at rest', status: 'failed' },
      { name: 'as it was', quiesced: false },
    ]);
    expect((await run(id, 'count')).status).toBe(200);
    server.worker.simulated.restless.delete(id);
    const rested = { kind: 'disk_only', requireQuiesced: true };
    expect(await take(id, 'rested', rested)).toMatchObject({ quiesced: true });
  });

  test('has a name of its own, and ten are enough', async () => {
    const id = await server.create();
    for (let index = 1; index <= 10; index += 1) await take(id, `c${index}`);
    const taken = await post(id, '/checkpoints', { name: 'c3' });
    expect([taken.status, taken.json.code]).toEqual([409, 'name_taken']);
    const eleventh = await post(id, '/checkpoints', { name: 'c11' });
    expect([eleventh.status, eleventh.json]).toMatchObject([
      400,
      { code: 'too_many_checkpoints', limit: 10 },
    ]);
    await take(id, 'disk', { kind: 'disk_only' });
    const policy = { mode: 'delete_oldest', maxCount: 3 };
    await take(id, 'c12', { retentionPolicy: policy });
    await eventually('three left', async () => (await list(id)).length === 4);
    expect((await list(id)).map((row: { name: string }) => row.name)).toEqual(['c12', 'disk', 'c10', 'c9']);
  });

  test('may be as many as the installation allows, by kind', async () => {
    await using other = await TestServer.start({
      OPENCOMPUTER_MAX_CHECKPOINTS_FULL: '1',
      OPENCOMPUTER_MAX_CHECKPOINTS_DISK_ONLY: '12',
    });
    const id = await other.create();
    const put = (body: object) => other.call('POST', at(id, '/checkpoints'), body);
    expect((await put({ name: 'a' })).status).toBe(201);
    const second = await put({ name: 'b' });
    expect([second.status, second.json]).toMatchObject([
      400,
      {
        code: 'too_many_checkpoints',
        limit: 1,
        hint: expect.stringContaining('OPENCOMPUTER_MAX_CHECKPOINTS_FULL'),
      },
    ]);
    const policy = (maxCount: number) => ({ mode: 'delete_oldest', maxCount });
    const beyond = await put({ name: 'b', retentionPolicy: policy(2) });
    expect([beyond.status, beyond.json.code, beyond.json.error]).toEqual([
      400,
      'invalid_request',
      expect.stringMatching(/maxCount.*1 /),
    ]);
    const disk = { kind: 'disk_only', retentionPolicy: policy(12) };
    expect((await put({ name: 'c', ...disk })).status).toBe(201);
  });

  test('that fails says why, and its name is free again', async () => {
    const id = await server.create();
    server.worker.fail('PUT snapshot', new ApiError('no_space', 'the disk is full'));
    expect((await post(id, '/checkpoints', { name: 'a' })).json).toMatchObject({ code: 'no_space' });
    const [failed] = await list(id);
    expect(failed).toMatchObject({
      status: 'failed',
      errorMsg: 'the disk is full',
      failedAt: expect.any(String),
    });
    const forked = await fork(failed.id);
    expect(forked.json).toMatchObject({ code: 'checkpoint_not_ready' });
    expect(forked.json.error).toContain('the disk is full');
    expect(await take(id, 'a')).toMatchObject({ status: 'ready' });
    expect(await list(id)).toHaveLength(1);
  });

  test('outlives its sandbox, also when that is killed while it is taken', async () => {
    const id = await server.create();
    const write = server.worker.hold('PUT snapshot');
    const taking = take(id, 'a');
    await eventually('begun', () => server.worker.calls.at(-1) === 'PUT snapshot');
    const killing = server.call('DELETE', at(id));
    // It has come and waits.
    await standstill(() => server.worker.calls.length);
    write();
    expect((await killing).status).toBe(204);
    const { id: cid, status } = await taking;
    expect(status).toBe('ready');
    expect((await read(id)).status).toBe('stopped');
    expect((await fork(cid)).status).toBe(201);
    expect((await server.call('DELETE', at(id, `/checkpoints/${cid}`))).status).toBe(204);
  });
});

describe('a fork', () => {
  test('has memory and disk, and what was given over what was there', async () => {
    const id = await server.create({ envs: { A: '1', B: '1' }, metadata: { x: '1', y: '1' }, memoryMB: 512 });
    await run(id, 'count');
    await server.call('PUT', at(id, '/files?path=/a'), 'text');
    const { id: cid } = await take(id, 'a');
    const { status, json } = await fork(cid, { timeout: 77, envs: { B: '2' }, metadata: { y: '2' } });
    expect(status).toBe(201);
    expect(sandboxSchema.parse(json)).toMatchObject({
      status: 'running',
      fromCheckpointId: cid,
      timeout: 77,
      memoryMB: 512,
      metadata: { x: '1', y: '2' },
      startedFrom: 'memory',
    });
    expect(await count(json.sandboxID)).toBe('2');
    expect((await run(json.sandboxID, 'env', ['A'])).json.stdout).toBe('1');
    expect((await run(json.sandboxID, 'env', ['B'])).json.stdout).toBe('2');
    expect((await server.call('GET', at(json.sandboxID, '/files?path=/a'))).text).toBe('text');
    expect(await count(id)).toBe('2');
    expect((await fork(cid)).json).toMatchObject({ timeout: 300 });
    expect((await fork(cid, { timeout: 0 })).json).toMatchObject({ timeout: 0 });
  });

  test('of one that is being written waits for it', async () => {
    const id = await server.create();
    const write = server.worker.hold('PUT snapshot');
    const taking = take(id, 'a');
    await eventually('begun', () => server.worker.calls.at(-1) === 'PUT snapshot');
    const [row] = await list(id);
    expect(row.status).toBe('processing');
    const forking = fork(row.id);
    // It has come and waits.
    await standstill(() => server.worker.calls.length);
    write();
    const forked = await forking;
    expect(forked.status).toBe(201);
    await taking;
  });

  test('of one of disk alone boots', async () => {
    const id = await server.create();
    await run(id, 'count');
    const { id: cid } = await take(id, 'a', { kind: 'disk_only' });
    const { json } = await fork(cid);
    expect(json.startedFrom).toBe('disk');
    expect(await count(json.sandboxID)).toBe('1');
  });

  test('by number is all or none', async () => {
    const id = await server.create();
    const { id: cid } = await take(id, 'a');
    const { status, json } = await fork(cid, { count: 20 });
    expect(status).toBe(201);
    expect(new Set(json.sandboxes.map((row: { sandboxID: string }) => row.sandboxID)).size).toBe(20);
    expect((await fork(cid, { count: 1 })).json.sandboxes).toHaveLength(1);
    const before = server.worker.machines.size;
    server.worker.fail('PUT machine', new ApiError('no_capacity', 'full'));
    const refused = await fork(cid, { count: 20 });
    expect(refused.json).toMatchObject({ code: 'no_capacity' });
    await eventually('none left', () => server.worker.machines.size === before);
    for (const bad of [0, 51, 1.5, '2'])
      expect((await fork(cid, { count: bad })).json).toMatchObject({ code: 'invalid_request' });
  });

  test('by number that was cut off before all stood leaves none', async () => {
    await using own = await TestServer.start();
    const id = await own.create();
    await own.call('POST', at(id, '/fork'), { count: 2, name: 'a' });
    await own.stopServer();
    const store = await own.openStore();
    await store.updateTable('sandboxes').set({ fork_group: 'cut off' }).where('id', '!=', id).execute();
    await store.destroy();
    await own.startServer();
    await eventually('none left', () => own.worker.machines.size === 1);
    const { json: left } = await own.call('GET', '/api/sandboxes');
    expect(left.map((row: { sandboxID: string }) => row.sandboxID)).toEqual([id]);
  });

  test('of a sandbox takes and deletes a checkpoint of its own, or keeps it under a name', async () => {
    const id = await server.create();
    await run(id, 'count');
    const snapshots = server.worker.simulated.snapshots.size;
    const { json } = await post(id, '/fork', { count: 3 });
    expect(json.sandboxes).toHaveLength(3);
    for (const row of json.sandboxes) expect(await count(row.sandboxID)).toBe('2');
    await eventually('deleted', () => server.worker.simulated.snapshots.size === snapshots);
    expect(await list(id)).toEqual([]);
    const named = await post(id, '/fork', { name: 'kept', timeout: 5 });
    expect(named.json).toMatchObject({ status: 'running', timeout: 5 });
    expect(await list(id)).toMatchObject([{ id: named.json.fromCheckpointId, name: 'kept' }]);
    expect((await post(id, '/fork', { name: 'kept' })).json).toMatchObject({ code: 'name_taken' });
    expect((await post(id, '/fork', { envs: { A: 5 } })).json).toMatchObject({ code: 'invalid_request' });
  });

  test('that is too much with what the sandbox has is refused before a checkpoint is taken', async () => {
    const variables = (letter: string) =>
      Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`${letter}${index}`, '1']));
    const id = await server.create({ envs: variables('A') });
    const taken = () => server.worker.calls.filter((call) => call === 'PUT snapshot').length;
    const before = taken();
    expect((await post(id, '/fork', { envs: variables('B') })).json).toMatchObject({
      code: 'invalid_request',
      error: expect.stringContaining('together with those of the checkpoint'),
    });
    expect(taken()).toBe(before);
    expect((await post(id, '/fork', { envs: variables('A') })).status).toBe(201);
    expect(taken()).toBe(before + 1);
  });

  test('is refused for what is unknown, malformed or somebody else’s', async () => {
    const id = await server.create();
    const { id: cid } = await take(id, 'a');
    expect((await fork(unknown)).json).toMatchObject({
      // Programs look for these words.
      error: `checkpoint not found: ${unknown}`,
      code: 'checkpoint_not_found',
    });
    expect((await fork('abc')).json).toMatchObject({ code: 'invalid_request' });
    expect((await fork(cid, {}, as(stranger))).json).toMatchObject({ code: 'checkpoint_not_found' });
    const publish = await server.call('POST', at('checkpoints', `/${cid}/publish`));
    expect(publish.json).toMatchObject({ id: cid, isPublic: true });
    const theirs = await fork(cid, {}, as(stranger));
    expect(theirs.status).toBe(201);
    const paths: [string, string][] = [
      ['POST', `/checkpoints/${cid}/unpublish`],
      ['GET', `/checkpoints/${cid}/patches`],
      ['DELETE', `/${id}/checkpoints/${cid}`],
      ['GET', `/${id}/checkpoints`],
      ['POST', `/${id}/checkpoints/${cid}/restore`],
      ['POST', `/${id}/hibernate`],
      ['POST', `/${id}/wake`],
      ['POST', `/${id}/fork`],
      ['GET', `/${id}/events`],
    ];
    for (const [method, path] of paths)
      expect((await server.call(method, `/api/sandboxes${path}`, undefined, as(stranger))).status).toBe(404);
    await server.call('POST', at('checkpoints', `/${cid}/unpublish`));
    expect((await fork(cid, {}, as(stranger))).status).toBe(404);
    const own = await server.call('GET', '/api/checkpoints', undefined, as(stranger));
    expect(own.json).toEqual([]);
  });
});

describe('a restore', () => {
  test('puts memory and disk back, also of what hibernates or has failed', async () => {
    const id = await server.create();
    await run(id, 'count');
    await server.call('PUT', at(id, '/files?path=/a'), 'before');
    const { id: cid } = await take(id, 'a');
    for (const state of ['running', 'hibernated', 'error']) {
      await run(id, 'count');
      await server.call('PUT', at(id, '/files?path=/a'), 'after');
      if (state === 'hibernated') await post(id, '/hibernate');
      if (state === 'error') server.worker.failMachine(id, 'killed');
      await eventually(state, async () => (await read(id)).status === state);
      const restored = await post(id, `/checkpoints/${cid}/restore`);
      expect(restored.json).toEqual({ sandboxId: id, checkpointId: cid, status: 'restoring' });
      expect((await read(id)).status).toBe('running');
      expect((await server.call('GET', at(id, '/files?path=/a'))).text).toBe('before');
      expect(await count(id)).toBe('2');
    }
  });

  test('is refused for the checkpoint of another sandbox, and where there is none', async () => {
    const [one, other] = [await server.create(), await server.create()];
    const { id: cid } = await take(one, 'a');
    const foreign = await post(other, `/checkpoints/${cid}/restore`);
    expect([foreign.status, foreign.json.code]).toEqual([400, 'invalid_request']);
    expect((await post(one, `/checkpoints/${unknown}/restore`)).status).toBe(404);
    expect((await post(one, '/checkpoints/abc/restore')).status).toBe(400);
    expect((await server.call('DELETE', at(other, `/checkpoints/${cid}`))).status).toBe(404);
    expect((await list(one))[0].status).toBe('ready');
    await server.call('DELETE', at(one));
    expect((await post(one, `/checkpoints/${cid}/restore`)).json).toMatchObject({ code: 'sandbox_stopped' });
  });
});

describe('the tree', () => {
  test('tells who came from whom, and stays whole whatever is deleted first', async () => {
    const first = await server.create();
    const one = await take(first, 'one');
    const child = (await fork(one.id)).json.sandboxID;
    const two = await take(child, 'two');
    const three = await take(child, 'three');
    await post(child, `/checkpoints/${two.id}/restore`);
    const four = await take(child, 'four');
    const nodes = async () => {
      const { json } = await server.call('GET', '/api/checkpoints?limit=1000');
      const rows: [string, { name: string; parentCheckpointId?: string; forks: { sandboxID: string }[] }][] =
        json.map((row: { id: string }) => [row.id, row]);
      return new Map(rows);
    };
    const before = await nodes();
    expect(before.get(two.id)?.parentCheckpointId).toBe(one.id);
    expect(before.get(three.id)?.parentCheckpointId).toBe(two.id);
    expect(before.get(four.id)?.parentCheckpointId).toBe(two.id);
    expect(before.get(one.id)?.forks).toEqual([{ sandboxID: child, status: 'running' }]);
    await server.call('DELETE', at(child, `/checkpoints/${two.id}`));
    const after = await nodes();
    expect(after.get(three.id)?.parentCheckpointId).toBe(one.id);
    expect(after.get(four.id)?.parentCheckpointId).toBe(one.id);
    await server.call('DELETE', at(first, `/checkpoints/${one.id}`));
    expect((await nodes()).get(three.id)).not.toHaveProperty('parentCheckpointId');
    expect(await read(child)).toMatchObject({ status: 'running', fromCheckpointId: one.id });
    expect((await fork(three.id)).status).toBe(201);
    expect(await take(child, 'five')).toMatchObject({ parentCheckpointId: four.id });
  });

  test('comes in pages', async () => {
    const first = await server.call('GET', '/api/checkpoints?limit=2');
    const next = first.headers.get('x-next-cursor');
    const second = await server.call('GET', `/api/checkpoints?limit=2&cursor=${next}`);
    const ids = [...first.json, ...second.json].map((row) => row.id);
    expect(new Set(ids).size).toBe(4);
    expect((await server.call('GET', '/api/checkpoints?cursor=x')).status).toBe(400);
  });
});
