import { request } from 'node:http';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestServer } from '../testing/harness.ts';
import { logEvents } from './log-events.ts';

let server: TestServer;
let path: string;
beforeAll(async () => {
  server = await TestServer.start();
  path = `/api/sandboxes/${await server.create()}/logs`;
});
afterAll(() => server[Symbol.asyncDispose]());

const line = (text: string, more: object = {}) =>
  `${JSON.stringify({ time: '2026-01-01T00:00:00Z', source: 'exec_stdout', line: text, ...more })}\n`;
const events = (text: string): unknown[] =>
  text
    .split('\n\n')
    .filter((part) => part.startsWith('data: '))
    .map((part) => JSON.parse(part.slice(6)) as unknown);

test('lines become events; what makes no sense is left out', async () => {
  server.worker.logs = [
    line('one', { execId: '0123abcd', command: 'sh', argv: ['sh'], exitCode: 3 }),
    'not json\n',
    '{"time":1}\n',
    `{"time":[${'{},'.repeat(80_000)}{}]}\n`,
    '\n',
    line('two', { path: '/var/log/x', source: 'var_log' }),
  ];
  const { status, headers, text } = await server.call('GET', `${path}?tail=false`);
  expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  const common = { _time: '2026-01-01T00:00:00Z' };
  expect(events(text)).toEqual([
    {
      ...common,
      source: 'exec_stdout',
      line: 'one',
      exec_id: '0123abcd',
      command: 'sh',
      argv: ['sh'],
      exit_code: 3,
    },
    { ...common, source: 'var_log', line: 'two', path: '/var/log/x' },
  ]);
  expect(text).toContain(': keepalive\n\n');
  expect(text).toContain(': a line of the guest had too many values\n\n');
});

test('many short lines in one chunk leave others their turn', async () => {
  const count = 20_000;
  let turns = 0;
  const state = { over: false };
  void (async () => {
    for (; !state.over; turns++) await nextTurn();
  })();
  let text = '';
  const lines = Readable.from([Buffer.from('{}\n'.repeat(count))]);
  for await (const part of logEvents(lines, () => Promise.resolve(false)) as AsyncIterable<Buffer>)
    text += part.toString();
  state.over = true;
  expect(text.split('wrong form')).toHaveLength(count + 1);
  expect(turns).toBeGreaterThan(count / 1024);
});

test('queries are passed on, checked', async () => {
  const query = 'tail=false&since=2026-01-01T00:00:00Z&q=a%20b&source=agent,var_log&limit=5';
  expect((await server.call('GET', `${path}?${query}`)).status).toBe(200);
  expect(Object.fromEntries(new URLSearchParams(server.worker.logQueries.at(-1)))).toEqual({
    tail: 'false',
    since: '2026-01-01T00:00:00Z',
    q: 'a b',
    source: 'var_log,agent',
    limit: '5',
  });
  for (const bad of ['tail=maybe', 'since=yesterday', 'source=syslog', 'limit=0', 'limit=10001', 'limit=x'])
    expect((await server.call('GET', `${path}?${bad}`)).status).toBe(400);
});

test('new lines follow until the client goes', async () => {
  server.worker.logs = [line('first')];
  let text = '';
  const following = request(server.url + path, { headers: { 'x-api-key': server.key } }, (response) => {
    response.setEncoding('utf8').on('data', (part: string) => (text += part));
    response.on('error', () => undefined);
  });
  following.on('error', () => undefined);
  following.end();
  await eventually('the first', () => events(text).length === 1);
  server.worker.log(line('second').slice(0, 20));
  server.worker.log(line('second').slice(20));
  await eventually('the second', () => events(text).length === 2);
  expect(server.worker.logReaders).toBe(1);
  following.destroy();
  await eventually('nobody reads', () => server.worker.logReaders === 0);
});

test('a hibernation that ends them is told, another end is not', async () => {
  server.worker.logs = [line('last')];
  const follow = async (): Promise<string> => (await server.call('GET', path)).text;
  const asleep = follow();
  await eventually('followed', () => server.worker.logReaders === 1);
  expect((await server.call('POST', path.replace('/logs', '/hibernate'))).status).toBe(200);
  expect((await asleep).endsWith(': hibernated\n\n')).toBe(true);
  const other = follow();
  await eventually('followed again', () => server.worker.logReaders === 1);
  server.worker.endLogs();
  expect(await other).not.toContain('hibernated');
});

test('a line without an end breaks the answer off', async () => {
  server.worker.logs = ['x'.repeat(300 * 1024)];
  await expect(server.call('GET', path)).rejects.toThrow();
});
