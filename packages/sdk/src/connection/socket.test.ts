import { WebSocket as WsWebSocket } from 'ws';
import { afterEach, expect, test, vi } from 'vitest';
import { ExecSession } from '../exec-session.ts';
import { SessionServer } from '../testing/session-server.ts';
import { webSocketKind } from './socket.ts';

afterEach(() => {
  vi.unstubAllGlobals();
  vi.doUnmock('ws');
});

test('without a global WebSocket the package ws is used', async () => {
  vi.stubGlobal('WebSocket', undefined);
  await using server = await SessionServer.start();
  server.session.exit(4);
  expect(await (await ExecSession.open(server.api(), 'abcd1234', {})).done).toBe(4);
  expect(server.attaches[0]?.headers['x-api-key']).toBe('osb_key');
});

test('without either the error says what to install', async () => {
  vi.stubGlobal('WebSocket', undefined);
  vi.doMock('ws', () => {
    throw new Error('Cannot find package');
  });
  const failure = webSocketKind(undefined);
  await expect(failure).rejects.toMatchObject({ code: 'websocket_missing' });
  await expect(failure).rejects.toThrow(/npm install ws/);
});

test.each([
  ["the sandbox's token", 'jwt', 'token', 'jwt'],
  ['the key', undefined, 'api_key', 'osb_key'],
])('a browser, which sends no headers, gives %s in the URL', async (_what, token, name, value) => {
  await using server = await SessionServer.start();
  vi.stubGlobal('process', { env: {} });
  const session = await ExecSession.open(server.api({}, token), 'abcd1234', {});
  session.close();
  const [attach] = server.attaches;
  expect(attach?.headers['x-api-key']).toBeUndefined();
  expect([...(attach?.query.keys() ?? [])].toSorted()).toEqual(['client', 'from', name].toSorted());
  expect(attach?.query.get(name)).toBe(value);
});

test('a factory is given the headers', async () => {
  await using server = await SessionServer.start();
  const seen: Record<string, string>[] = [];
  const webSocket = (url: string, options: { headers: Record<string, string> }): WsWebSocket => {
    seen.push(options.headers);
    expect(url).toMatch(/^ws:.*\/exec\/abcd1234\?from=0&client=[\w-]+$/);
    return new WsWebSocket(url, options);
  };
  (await ExecSession.open(server.api({ webSocket }), 'abcd1234', {})).close();
  expect(seen).toEqual([{ 'X-API-Key': 'osb_key' }]);
});
