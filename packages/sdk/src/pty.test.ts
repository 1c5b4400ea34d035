import { expect, test } from 'vitest';
import { Pty } from './pty.ts';
import { sendJson } from './testing/http-server.ts';
import { SessionServer } from './testing/session-server.ts';

const bodies = (server: SessionServer): unknown[] =>
  server.seen.map(({ method, path, body }) => [
    method,
    path,
    body.length === 0 ? '' : JSON.parse(String(body)),
  ]);

test('opens a terminal, types, resizes, hangs up', async () => {
  await using server = await SessionServer.start();
  let shown = '';
  const terminal = await new Pty(server.api()).create({
    cols: 100,
    rows: 30,
    env: { A: '1' },
    onOutput: (data) => (shown += Buffer.from(data)),
  });
  server.session.print('$ ');
  await terminal.send('ls\x03');
  await terminal.send(Uint8Array.of(0xff));
  await terminal.resize({ cols: 120, rows: 40 });
  await terminal.kill();
  server.session.exit(129);
  expect(await terminal.done).toBe(129);
  expect(shown).toBe('$ ');
  expect(terminal.offset).toBe(2);
  expect(server.session.stdin).toEqual(Buffer.from('ls\x03\xff', 'latin1'));
  const path = '/api/sandboxes/sb-1/pty';
  expect(bodies(server)).toEqual([
    ['POST', path, { cols: 100, rows: 30, envs: { A: '1' } }],
    ['POST', `${path}/abcd1234/resize`, { cols: 120, rows: 40 }],
    ['DELETE', `${path}/abcd1234`, ''],
  ]);
});

test('is attached to again, with its screen and the new size', async () => {
  await using server = await SessionServer.start();
  const pty = new Pty(server.api());
  const first = await pty.create();
  server.session.print('screen');
  first.close();
  const again = await pty.attach(first.sessionId, { cols: 90, rows: 20 });
  server.session.exit(0);
  let shown = '';
  for await (const data of again) shown += Buffer.from(data);
  expect(shown).toBe('screen');
  expect(bodies(server)).toEqual([
    ['POST', '/api/sandboxes/sb-1/pty', { cols: 80, rows: 24 }],
    ['POST', '/api/sandboxes/sb-1/pty/abcd1234/resize', { cols: 90, rows: 20 }],
  ]);
});

test('lists terminals', async () => {
  const list = [{ sessionID: 'abcd1234', running: true }];
  await using server = await SessionServer.start({
    handle: (_request, response) => sendJson(response, 200, list),
  });
  expect(await new Pty(server.api()).list()).toEqual(list);
});
