import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiError } from '@opencomputer/protocol';
import { TestClient } from '../testing/client.ts';
import { eventually, TestServer } from '../testing/harness.ts';

let server: TestServer;
let id: string;
beforeAll(async () => {
  server = await TestServer.start();
  id = await server.create();
});
afterAll(() => server[Symbol.asyncDispose]());

const sessions = () => server.worker.machine(id).sessions;
const session = (sid: string) => sessions().get(sid);
async function start(cmd = 'program', more: object = {}): Promise<string> {
  const { status, json } = await server.call('POST', `/api/sandboxes/${id}/exec`, { cmd, ...more });
  expect(status).toBe(201);
  return json.sessionID;
}

describe('sessions', () => {
  test('are started as asked', async () => {
    const { status, json } = await server.call('POST', `/api/sandboxes/${id}/exec`, {
      cmd: 'node',
      args: ['server.js'],
      cwd: '/tmp',
      envs: { A: '1' },
      timeout: 7,
      maxRunAfterDisconnect: 9,
    });
    expect(status).toBe(201);
    expect(json).toEqual({
      sessionID: expect.stringMatching(/^[0-9a-f]{8}$/),
      sandboxID: id,
      command: 'node',
      args: ['server.js'],
      running: true,
      startedAt: expect.any(String),
      attachedClients: 0,
    });
    expect(session(json.sessionID).request).toEqual({
      id: json.sessionID,
      kind: 'session',
      argv: ['node', 'server.js'],
      cwd: '/tmp',
      env: { A: '1' },
      stdin: true,
      timeoutMs: 7000,
      maxRunAfterDisconnectMs: 9000,
      holdMs: 10_000,
      bufferBytes: 1024 * 1024,
      waitMs: 0,
    });
  });

  test('take a line of shell where no file has its name', async () => {
    const argv = async (cmd: string, args?: string[]) => session(await start(cmd, { args })).request.argv;
    expect(await argv('node server.js')).toEqual(['sh', '-c', 'node server.js']);
    expect(await argv('node', ['a b'])).toEqual(['node', 'a b']);
    expect(await argv('my tool', ['x'])).toEqual(['my tool', 'x']);
    expect(await argv('/opt/not there')).toEqual(['sh', '-c', '/opt/not there']);
    await server.call('PUT', `/api/sandboxes/${id}/files?path=/tmp/my%20tool`, 'x');
    expect(await argv('/tmp/my tool')).toEqual(['/tmp/my tool']);
  });

  test('are listed while they run and for a while afterwards', async () => {
    const other = await server.create();
    const path = `/api/sandboxes/${other}/exec`;
    expect((await server.call('GET', path)).json).toEqual([]);
    const { json } = await server.call('POST', path, { cmd: 'a', args: ['b'] });
    await server.call('POST', `/api/sandboxes/${other}/pty`);
    const client = await TestClient.connect(server, `${other}/exec/${json.sessionID}`);
    const [listed, ...more] = (await server.call('GET', path)).json;
    expect(more).toEqual([]);
    expect(listed).toMatchObject({ command: 'a', args: ['b'], running: true, attachedClients: 1 });
    expect(listed).not.toHaveProperty('exitCode');
    server.worker.machine(other).sessions.get(json.sessionID).exit(4);
    await client.end();
    expect((await server.call('GET', path)).json).toMatchObject([{ running: false, exitCode: 4 }]);
    expect((await server.call('GET', `/api/sandboxes/${other}/pty`)).json).toMatchObject([
      { command: '/bin/bash', running: true },
    ]);
  });

  test('can be kept out of the logs and out of the list', async () => {
    const other = await server.create();
    const path = `/api/sandboxes/${other}/exec`;
    const { json } = await server.call('POST', path, { cmd: 'tar', log: false, listed: false });
    const transfer = server.worker.machine(other).sessions.get(json.sessionID);
    expect(transfer.request).toMatchObject({ unlogged: true, unlisted: true });
    expect((await server.call('GET', path)).json).toEqual([]);
    const client = await TestClient.connect(server, `${other}/exec/${json.sessionID}`);
    expect((await server.call('POST', `${path}/${json.sessionID}/kill`, {})).status).toBe(200);
    transfer.exit(0);
    await client.end();
    const usual = await server.call('POST', path, { cmd: 'a', log: true, listed: null });
    const { request } = server.worker.machine(other).sessions.get(usual.json.sessionID);
    expect(request).not.toHaveProperty('unlogged');
    expect(request).not.toHaveProperty('unlisted');
  });

  test('are killed, once and again', async () => {
    const sid = await start();
    const kill = (body?: object) => server.call('POST', `/api/sandboxes/${id}/exec/${sid}/kill`, body);
    expect(await kill({ signal: 1 })).toMatchObject({ status: 200, json: {} });
    expect(await kill()).toMatchObject({ status: 200, json: {} });
    expect(session(sid).signals).toEqual([1, 9]);
    expect((await kill()).status).toBe(200);
    expect((await kill({ signal: 65 })).status).toBe(400);
    const unknown = await server.call('POST', `/api/sandboxes/${id}/exec/ffffffff/kill`, {});
    expect([unknown.status, unknown.json.code]).toEqual([404, 'exec_not_found']);
    expect((await server.call('POST', `/api/sandboxes/${id}/exec/nonsense/kill`, {})).status).toBe(404);
  });

  test('that cannot be started say why', async () => {
    sessions().missing.add('missing');
    const { status, json } = await server.call('POST', `/api/sandboxes/${id}/exec`, { cmd: 'missing' });
    expect([status, json.code]).toEqual([422, 'command_not_started']);
    expect((await server.call('POST', `/api/sandboxes/${id}/exec`, {})).json.error).toBe(
      'cmd: cmd is required',
    );
  });
});

describe('attaching', () => {
  test('replays what was printed, says so once, goes on live and ends with the exit code', async () => {
    const sid = await start();
    session(sid).print('one\n');
    session(sid).print('two\n', 2);
    const client = await TestClient.connect(server, `${id}/exec/${sid}`);
    await client.until('replayed', ({ frames }) => frames.length === 3);
    session(sid).print('three\n');
    session(sid).exit(-1);
    expect(await client.end()).toEqual({ code: 1000, reason: 'exec completed' });
    expect(client.messages.map(String)).toEqual([
      '\x01one\n',
      '\x02two\n',
      '\x04',
      '\x01three\n',
      expect.anything(),
    ]);
    expect(client.messages.at(-1)?.toString('hex')).toBe('03ffffffff');
    const later = await TestClient.connect(server, `${id}/exec/${sid}`);
    expect(await later.end()).toEqual({ code: 1000, reason: 'exec completed' });
    expect([later.output(1), later.output(2), later.count('replayed')]).toEqual(['one\nthree\n', 'two\n', 1]);
  });

  test('cuts output for those that do not count, and tells the others where they are', async () => {
    const sid = await start();
    const data = Buffer.alloc(100_000, 'ab');
    session(sid).print(data);
    const plain = await TestClient.connect(server, `${id}/exec/${sid}`);
    const counted = await TestClient.connect(server, `${id}/exec/${sid}?from=7`);
    for (const client of [plain, counted])
      await client.until('replayed', (one) => one.count('replayed') === 1);
    expect(Math.max(...plain.messages.map(({ length }) => length))).toBe(4097);
    expect(plain.output()).toBe(data.toString());
    expect(counted.output()).toBe(data.subarray(7).toString());
    expect(counted.frames.slice(0, 2)).toEqual([
      { type: 'accepted', bytes: 0 },
      { type: 'offset', offset: 7 },
    ]);
    session(sid).dropBefore(1);
    session(sid).print('later');
    const gap = await TestClient.connect(server, `${id}/exec/${sid}?from=0`);
    await gap.until('replayed', (one) => one.count('replayed') === 1);
    expect(gap.frames).toContainEqual({ type: 'gap', bytes: 100_000 });
    const end = await TestClient.connect(server, `${id}/exec/${sid}?from=end`);
    await end.until('replayed', (one) => one.count('replayed') === 1);
    expect(end.output()).toBe('');
  });

  test('passes input on, unchanged and in order, and its end', async () => {
    const sid = await start('cat');
    const client = await TestClient.connect(server, `${id}/exec/${sid}?from=0&client=me`);
    const all = Buffer.from(Array.from({ length: 300_000 }, (_value, index) => (index * 7) % 256));
    for (let at = 0; at < all.length; at += 10_000)
      client.socket.send(Buffer.concat([Buffer.of(0), all.subarray(at, at + 10_000)]));
    client.socket.send(Buffer.of(4));
    await client.end();
    expect(Buffer.concat(session(sid).input)).toEqual(all);
    expect(session(sid).inputEnded).toBe(true);
    expect(client.frames).toContainEqual({ type: 'accepted', bytes: all.length });
  });

  test('delivers input of a client that leaves at once', async () => {
    const sid = await start();
    const client = await TestClient.connect(server, `${id}/exec/${sid}`);
    client.type('x'.repeat(100_000));
    client.socket.close();
    await eventually('all of it', () => session(sid).text.length === 100_000);
    await eventually('detached', () => session(sid).attached === 0);
  });

  test('ignores what means nothing and refuses what is wrong', async () => {
    const sid = await start();
    const client = await TestClient.connect(server, `${id}/exec/${sid}`);
    for (const hex of ['', '00', '01aa', '03', 'ff00']) client.socket.send(Buffer.from(hex, 'hex'));
    client.type('real');
    await eventually('taken', () => session(sid).text === 'real');
    client.socket.send('text');
    expect((await client.end()).code).toBe(1008);
    const large = await TestClient.connect(server, `${id}/exec/${sid}`);
    large.socket.send(Buffer.alloc(1024 * 1024 + 1));
    expect((await large.end()).code).toBe(1009);
    expect(session(sid).text).toBe('real');
  });

  test('lets many in, all of whom see the same', async () => {
    const sid = await start();
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => TestClient.connect(server, `${id}/exec/${sid}`)),
    );
    for (let line = 0; line < 200; line++) session(sid).print(`${line}\n`);
    session(sid).exit(0);
    await Promise.all(clients.map((client) => client.end()));
    const expected = Array.from({ length: 200 }, (_value, line) => `${line}\n`).join('');
    expect(clients.map((client) => client.output() === expected)).toEqual(Array(20).fill(true));
  });

  test('tells the session how much of its output has left', async () => {
    const sid = await start();
    await TestClient.connect(server, `${id}/exec/${sid}`);
    session(sid).print('x'.repeat(200_000));
    await eventually('taken', () => session(sid).taken === 200_000);
  });

  test('says when a session takes no input', async () => {
    const sid = await start();
    Object.assign(session(sid).request, { stdin: false });
    const client = await TestClient.connect(server, `${id}/exec/${sid}`);
    client.type('x');
    expect(await client.end()).toMatchObject({ code: 1008, reason: expect.stringContaining('no input') });
  });

  test('works below the unprefixed path', async () => {
    const sid = await start();
    const path = `/sandboxes/${id}/exec/${sid}`;
    expect(await TestClient.refused(server, path, {})).toEqual({ status: 401, code: 'unauthorized' });
    const client = await TestClient.connect(server, `../..${path}`);
    await client.until('replayed', (one) => one.count('replayed') === 1);
  });
});

describe('a connection is refused before it is a WebSocket', () => {
  const refused = (path: string, headers?: Record<string, string>) =>
    TestClient.refused(server, `/api/sandboxes/${path}`, headers);

  test('for unknown sandboxes and sessions, and those of others', async () => {
    const sid = await start();
    expect(await refused(`${id}/exec/ffffffff`)).toEqual({ status: 404, code: 'exec_not_found' });
    expect(await refused(`${id}/exec/x`)).toEqual({ status: 404, code: 'exec_not_found' });
    expect(await refused(`sb-ffffffff/exec/${sid}`)).toEqual({ status: 404, code: 'sandbox_not_found' });
    expect(await refused(`${id}/files/${sid}`)).toEqual({ status: 404, code: 'not_found' });
    const headers = { 'x-api-key': await server.anotherKey('other') };
    expect(await refused(`${id}/exec/${sid}`, headers)).toEqual({ status: 404, code: 'sandbox_not_found' });
  });

  test('without a good key', async () => {
    const sid = await start();
    expect(await refused(`${id}/exec/${sid}`, {})).toEqual({ status: 401, code: 'unauthorized' });
    expect(await refused(`${id}/exec/${sid}?api_key=wrong`, {})).toEqual({
      status: 401,
      code: 'unauthorized',
    });
    await TestClient.connect(server, `${id}/exec/${sid}?api_key=${server.key}`, {});
  });

  test('for queries that make no sense, offsets beyond the end and sandboxes that have ended', async () => {
    const sid = await start();
    for (const query of ['from=-1', 'from=x', 'from=5', `client=${'a'.repeat(65)}`])
      expect(await refused(`${id}/exec/${sid}?${query}`)).toEqual({ status: 400, code: 'invalid_request' });
    const other = await server.create();
    await server.call('DELETE', `/api/sandboxes/${other}`);
    expect(await refused(`${other}/exec/${sid}`)).toEqual({ status: 410, code: 'sandbox_stopped' });
  });

  test('where the agent is too old', async () => {
    const sid = await start();
    server.worker.fail('POST attach', new ApiError('unsupported_guest', 'too old'));
    expect(await refused(`${id}/exec/${sid}`)).toEqual({ status: 409, code: 'unsupported_guest' });
  });

  test('when it is no handshake', async () => {
    const sid = await start();
    const answer = await fetch(`${server.url}/api/sandboxes/${id}/exec/${sid}`, {
      headers: { 'x-api-key': server.key },
    });
    expect(answer.status).toBe(404);
  });
});
