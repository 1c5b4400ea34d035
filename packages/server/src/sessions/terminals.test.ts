import { afterAll, beforeAll, expect, test } from 'vitest';
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
async function open(body: object = {}) {
  const { status, json } = await server.call('POST', `/api/sandboxes/${id}/pty`, body);
  expect(status).toBe(201);
  expect(json).toEqual({ sessionID: expect.stringMatching(/^[0-9a-f]{8}$/), sandboxID: id });
  return { sid: json.sessionID as string, session: sessions().get(json.sessionID) };
}

test('terminals run a shell in the size that was asked for', async () => {
  expect((await open()).session.request).toMatchObject({
    kind: 'pty',
    argv: ['/bin/bash'],
    tty: { cols: 80, rows: 24 },
  });
  const { session } = await open({ cols: 100, rows: 30, shell: '/bin/zsh', cwd: '/tmp', envs: { A: '1' } });
  expect(session.request).toMatchObject({
    argv: ['/bin/zsh'],
    tty: { cols: 100, rows: 30 },
    cwd: '/tmp',
    env: { A: '1' },
  });
  for (const body of [{ cols: 0 }, { rows: 1001 }, { cols: 1.5 }, { shell: '' }])
    expect((await server.call('POST', `/api/sandboxes/${id}/pty`, body)).status).toBe(400);
});

test('where bash is missing, sh is taken; a shell of one\u2019s own is not replaced', async () => {
  sessions().missing.add('/bin/bash');
  expect((await open()).session.request.argv).toEqual(['/bin/sh']);
  const { status } = await server.call('POST', `/api/sandboxes/${id}/pty`, { shell: '/bin/bash' });
  expect(status).toBe(422);
  sessions().missing.clear();
});

test('bytes go both ways as they are; the first client sees what came before, later ones do not', async () => {
  const { sid, session } = await open();
  session.print('prompt$ ');
  const first = await TestClient.connect(server, `${id}/pty/${sid}`);
  await first.until('prompt', ({ raw }) => raw === 'prompt$ ');
  first.socket.send('text ');
  first.socket.send(Buffer.of(0, 4, 3));
  await eventually('typed', () => session.text === 'text \0\x04\x03');
  const second = await TestClient.connect(server, `${id}/pty/${sid}`);
  const replayed = await TestClient.connect(server, `${id}/pty/${sid}?replay=1`);
  await eventually('three', () => session.attached === 3);
  server.worker.cutAttached();
  session.print('x'.repeat(10_000));
  await first.until('all', ({ raw }) => raw.length === 10_008);
  await second.until('from now', ({ raw }) => raw.length === 10_000);
  await replayed.until('all', ({ raw }) => raw.length === 10_008);
  expect(Math.max(...first.messages.map(({ length }) => length))).toBe(4096);
  session.exit(3);
  expect((await first.end()).code).toBe(1000);
  const framed = await TestClient.connect(server, `${id}/exec/${sid}`);
  await framed.end();
  expect(framed.frames.at(-1)).toEqual({ type: 'exit', code: 3 });
});

test('sizes change; sessions without a terminal have none', async () => {
  const { sid, session } = await open();
  const resize = (path: string, size: object) =>
    server.call('POST', `/api/sandboxes/${id}/${path}/resize`, size);
  expect((await resize(`pty/${sid}`, { cols: 10, rows: 20 })).status).toBe(200);
  expect(session.size).toEqual({ cols: 10, rows: 20 });
  expect((await resize(`exec/${sid}`, { cols: 11, rows: 20 })).status).toBe(200);
  expect((await resize(`pty/${sid}`, { cols: 0, rows: 20 })).status).toBe(400);
  expect((await resize('pty/ffffffff', { cols: 1, rows: 1 })).status).toBe(404);
  const plain = await server.call('POST', `/api/sandboxes/${id}/exec`, { cmd: 'x' });
  const refused = await resize(`exec/${plain.json.sessionID}`, { cols: 1, rows: 1 });
  expect([refused.status, refused.json.code]).toEqual([409, 'not_terminal']);
  expect(await TestClient.refused(server, `/api/sandboxes/${id}/pty/${plain.json.sessionID}`)).toEqual({
    status: 404,
    code: 'exec_not_found',
  });
});

test('closing one hangs up, then kills', async () => {
  const { sid, session } = await open();
  const client = await TestClient.connect(server, `${id}/pty/${sid}`);
  const close = () => server.call('DELETE', `/api/sandboxes/${id}/pty/${sid}`);
  expect((await close()).status).toBe(204);
  expect(session.signals).toEqual([1, 9]);
  expect((await client.end()).code).toBe(1000);
  expect((await close()).status).toBe(204);
  expect((await server.call('DELETE', `/api/sandboxes/${id}/pty/ffffffff`)).status).toBe(404);
});
