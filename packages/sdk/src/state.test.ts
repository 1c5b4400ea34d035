import { describe, expect, test } from 'vitest';
import { CapacityError, ConflictError, InvalidRequestError, LimitError, NotFoundError } from './errors.ts';
import { Sandbox } from './sandbox.ts';
import { sendJson, TestServer, wireSandbox } from './testing/http-server.ts';

const cid = '11111111-2222-4333-8444-555555555555';
const checkpoint = {
  id: cid,
  sandboxId: 'sb-0a1b2c3d',
  orgId: 'default',
  name: 'ready',
  kind: 'full',
  status: 'ready',
  sandboxConfig: { template: 'base', cpuCount: 1, memoryMB: 1024, diskMB: 20480 },
  sizeBytes: 1,
  isPublic: false,
  createdAt: '2026-01-02T03:04:05Z',
};
const own = '/api/sandboxes/sb-0a1b2c3d';

/** A server that answers by `METHOD path`; anything else reads the sandbox. */
async function serving(answers: Record<string, [status: number, body?: unknown]>): Promise<TestServer> {
  return TestServer.start((request, response) => {
    const [status, body] = answers[`${request.method} ${request.path}`] ?? [200, wireSandbox];
    if (status === 204) response.writeHead(204).end();
    else sendJson(response, status, body);
  });
}

async function connected(server: TestServer): Promise<Sandbox> {
  const sandbox = await Sandbox.connect('sb-0a1b2c3d', { apiUrl: server.url });
  server.seen.length = 0;
  return sandbox;
}

const seen = (server: TestServer) =>
  server.seen.map(({ method, path, body }) => [
    method,
    path,
    body.length === 0 ? '' : JSON.parse(String(body)),
  ]);

test('what kept a sandbox awake is reported', async () => {
  const keptAwakeBy = { sessionID: 'es-1', command: 'make', sessions: 2, at: '2026-01-02T03:04:05Z' };
  await using server = await serving({ [`GET ${own}`]: [200, { ...wireSandbox, keptAwakeBy }] });
  const { info } = await connected(server);
  expect(info.keptAwakeBy).toEqual({ ...keptAwakeBy, at: new Date(keptAwakeBy.at) });
});

describe('power', () => {
  test('a change that fails after its header went out is a failure', async () => {
    const late = { error: 'the disk is full', code: 'no_space', hint: 'Free something.', requestId: 'r-1' };
    await using server = await serving({ [`POST ${own}/hibernate`]: [200, late] });
    const sandbox = await connected(server);
    await expect(sandbox.hibernate()).rejects.toMatchObject({ code: 'no_space', requestId: 'r-1' });
    expect(sandbox.status).toBe('running');
  });

  test('each verb has its route, and the status follows', async () => {
    const woken = { ...wireSandbox, timeout: 600, startedFrom: 'disk', coldBootReason: 'damaged' };
    await using server = await serving({
      [`POST ${own}/hibernate`]: [200, { sandboxID: 'sb-0a1b2c3d', status: 'hibernated' }],
      [`POST ${own}/wake`]: [200, woken],
      [`POST ${own}/reboot`]: [204],
      [`POST ${own}/power-cycle`]: [204],
    });
    const sandbox = await connected(server);
    await sandbox.hibernate();
    expect(sandbox.status).toBe('hibernated');
    await sandbox.wake({ timeout: 600 });
    expect(sandbox.status).toBe('running');
    expect(sandbox.info).toMatchObject({ timeout: 600, startedFrom: 'disk', coldBootReason: 'damaged' });
    await sandbox.wake();
    await sandbox.reboot();
    await sandbox.powerCycle();
    expect(seen(server)).toEqual([
      ['POST', `${own}/hibernate`, {}],
      ['POST', `${own}/wake`, { timeout: 600 }],
      ['POST', `${own}/wake`, {}],
      ['POST', `${own}/reboot`, {}],
      ['POST', `${own}/power-cycle`, {}],
    ]);
  });

  test('a failure changes nothing here', async () => {
    await using server = await serving({
      [`POST ${own}/hibernate`]: [507, { error: 'the disk is full', code: 'no_space', hint: 'x' }],
      [`POST ${own}/wake`]: [429, { error: 'too many', code: 'too_many_sandboxes', limit: 1 }],
    });
    const sandbox = await connected(server);
    await expect(sandbox.hibernate()).rejects.toBeInstanceOf(CapacityError);
    await expect(sandbox.wake()).rejects.toBeInstanceOf(LimitError);
    expect(sandbox.status).toBe('running');
  });
});

describe('checkpoints', () => {
  test('are taken, listed, restored and deleted', async () => {
    await using server = await serving({
      [`POST ${own}/checkpoints`]: [201, checkpoint],
      [`GET ${own}/checkpoints`]: [200, [checkpoint]],
      [`POST ${own}/checkpoints/${cid}/restore`]: [200, { status: 'restoring' }],
      [`DELETE ${own}/checkpoints/${cid}`]: [204],
    });
    const sandbox = await connected(server);
    expect(await sandbox.createCheckpoint('ready')).toEqual(checkpoint);
    const retentionPolicy = { mode: 'delete_oldest', maxCount: 3 } as const;
    const more = { kind: 'disk_only', promoteToFull: true, requireQuiesced: true, retentionPolicy } as const;
    await sandbox.createCheckpoint('b', more);
    expect(await sandbox.listCheckpoints()).toEqual([checkpoint]);
    await sandbox.restoreCheckpoint(cid);
    await sandbox.deleteCheckpoint(cid);
    expect(seen(server)).toEqual([
      ['POST', `${own}/checkpoints`, { name: 'ready' }],
      ['POST', `${own}/checkpoints`, { name: 'b', ...more }],
      ['GET', `${own}/checkpoints`, ''],
      ['POST', `${own}/checkpoints/${cid}/restore`, {}],
      ['GET', own, ''],
      ['DELETE', `${own}/checkpoints/${cid}`, ''],
    ]);
  });

  test.each([
    ['name_taken', 409, ConflictError],
    ['too_many_checkpoints', 400, LimitError],
    ['checkpoint_not_found', 404, NotFoundError],
    ['checkpoint_not_ready', 400, ConflictError],
  ])('%s has a class', async (code, status, kind) => {
    await using server = await serving({ [`POST ${own}/checkpoints`]: [status, { error: 'x', code }] });
    const sandbox = await connected(server);
    await expect(sandbox.createCheckpoint('a')).rejects.toBeInstanceOf(kind);
  });

  test.each(['', '..', 'a/b', 'a?b'])('the id %j is refused before anyone is asked', async (id) => {
    await using server = await serving({});
    const sandbox = await connected(server);
    const options = { apiUrl: server.url };
    for (const call of [
      sandbox.restoreCheckpoint(id),
      sandbox.deleteCheckpoint(id),
      Sandbox.createFromCheckpoint(id, options),
      Sandbox.fork(id, options),
      Sandbox.deleteCheckpointPatch(cid, id, options),
    ])
      await expect(call).rejects.toBeInstanceOf(InvalidRequestError);
    expect(server.seen).toHaveLength(0);
  });

  test('are listed as a tree, page after page', async () => {
    await using server = await TestServer.start((request, response) => {
      if (request.query.get('cursor') === null)
        sendJson(response, 200, [{ ...checkpoint, forks: [] }], { 'x-next-cursor': 'next' });
      else sendJson(response, 200, [{ ...checkpoint, name: 'older', forks: [] }]);
    });
    const names: string[] = [];
    for await (const { name } of Sandbox.listAllCheckpoints({ apiUrl: server.url })) names.push(name);
    expect(names).toEqual(['ready', 'older']);
    expect(server.seen[0]?.path).toBe('/api/checkpoints');
  });
});

describe('forks', () => {
  const from = `/api/sandboxes/from-checkpoint/${cid}`;

  test('one from a checkpoint sends only what is set', async () => {
    await using server = await serving({
      [`POST ${from}`]: [201, { ...wireSandbox, fromCheckpointId: cid }],
    });
    const apiUrl = server.url;
    const fork = await Sandbox.createFromCheckpoint(cid, { apiUrl });
    expect(fork.info.fromCheckpointId).toBe(cid);
    await Sandbox.createFromCheckpoint(cid, { apiUrl, timeout: 0, envs: { A: '1' }, metadata: { b: '2' } });
    expect(seen(server)).toEqual([
      ['POST', from, {}],
      ['POST', from, { timeout: 0, envs: { A: '1' }, metadata: { b: '2' } }],
    ]);
  });

  test('many from a checkpoint or from a sandbox', async () => {
    const sandboxes = ['sb-1', 'sb-2'].map((sandboxID) => ({ ...wireSandbox, sandboxID }));
    await using server = await serving({
      [`POST ${from}`]: [201, { sandboxes }],
      [`POST ${own}/fork`]: [201, { sandboxes }],
    });
    const forks = await Sandbox.forkCheckpoint(cid, { apiUrl: server.url, count: 2 });
    expect(forks.map(({ id }) => id)).toEqual(['sb-1', 'sb-2']);
    const sandbox = await connected(server);
    expect(await sandbox.fork({ count: 2, name: 'kept', timeout: 5 })).toHaveLength(2);
    await sandbox.fork();
    expect(seen(server)).toEqual([
      ['POST', `${own}/fork`, { count: 2, name: 'kept', timeout: 5 }],
      ['POST', `${own}/fork`, { count: 1 }],
    ]);
  });
});

test('patches are added, listed and removed, checkpoints published and not', async () => {
  const patches = `/api/sandboxes/checkpoints/${cid}/patches`;
  const patch = { id: cid, checkpointId: cid, sequence: 1, script: 'true', description: '' };
  await using server = await serving({
    [`POST ${patches}`]: [201, { patch }],
    [`GET ${patches}`]: [200, [patch]],
    [`DELETE ${patches}/${cid}`]: [204],
    [`POST /api/sandboxes/checkpoints/${cid}/publish`]: [200, { ...checkpoint, isPublic: true }],
    [`POST /api/sandboxes/checkpoints/${cid}/unpublish`]: [200, checkpoint],
  });
  const apiUrl = server.url;
  expect(await Sandbox.createCheckpointPatch(cid, { script: 'true', apiUrl })).toEqual({ patch });
  expect(await Sandbox.listCheckpointPatches(cid, { apiUrl })).toEqual([patch]);
  await Sandbox.deleteCheckpointPatch(cid, cid, { apiUrl });
  expect((await Sandbox.publishCheckpoint(cid, { apiUrl })).isPublic).toBe(true);
  expect((await Sandbox.unpublishCheckpoint(cid, { apiUrl })).isPublic).toBe(false);
  expect(seen(server)[0]).toEqual(['POST', patches, { script: 'true' }]);
});

test('events come one by one, with times', async () => {
  const event = { id: 1, time: '2026-01-02T03:04:05Z', actor: 'client', kind: 'hibernate' };
  await using server = await serving({ [`GET ${own}/events`]: [200, [event, { ...event, reason: 'why' }]] });
  const sandbox = await connected(server);
  const all = [];
  for await (const one of sandbox.events()) all.push(one);
  expect(all).toEqual([
    { ...event, time: new Date(event.time), reason: undefined },
    { ...event, time: new Date(event.time), reason: 'why' },
  ]);
});
