import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Endpoint, endpoints } from '@opencomputer/protocol';
import { loadConfig } from '../config.ts';
import { startServer } from '../server.ts';
import { TestServer } from '../testing/harness.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const all: [string, Endpoint][] = Object.entries(endpoints);
const concrete = (path: string): string => path.replace(':id', 'sb-00000000').replace(':execId', '00000000');

describe('routes', () => {
  test.each(all)('%s is routed and asks for what authorizes it', async (_id, endpoint) => {
    const response = await fetch(server.url + concrete(endpoint.path), { method: endpoint.method });
    const text = await response.text();
    if (endpoint.auth === 'key' || endpoint.auth === 'data') expect(response.status).toBe(401);
    else if (endpoint.auth === 'signature') expect(response.status).toBe(400);
    else expect(response.status).toBe(200);
    expect(text).not.toContain('there is no such route');
  });

  test('are all in the document, and nothing else is', async () => {
    const { json } = await server.call('GET', '/openapi.json');
    const documented = Object.entries<object>(json.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const routed = all.map(([, { method, path }]) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    expect(documented.toSorted()).toEqual(routed.toSorted());
    expect(json.openapi).toBe('3.1.0');
  });

  test('the page is there, bound to what it needs', async () => {
    const { status, text, headers } = await server.call('GET', '/docs');
    expect(status).toBe(200);
    expect(text).toContain('OpenComputer API');
    expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*script-src 'sha256-/);
    expect(text).not.toMatch(/(src|href)="https?:/);
  });

  test('an unknown one is a 404 in the common form', async () => {
    const answer = await server.call('GET', '/api/nothing');
    expect(answer.status).toBe(404);
    expect(answer.json).toMatchObject({ code: 'not_found', requestId: answer.headers.get('x-request-id') });
  });

  test('a wrong method is a 405 that names the right ones', async () => {
    const answer = await server.call('PATCH', '/api/sandboxes', {});
    expect([answer.status, answer.json.code]).toEqual([405, 'method_not_allowed']);
    expect(answer.headers.get('allow')).toBe('POST, GET');
  });
});

describe('authentication', () => {
  test.each([
    ['no key', {}],
    ['a wrong key', { 'x-api-key': 'osb_wrong' }],
    ['a wrong bearer', { authorization: 'Bearer wrong' }],
    ['another scheme', { authorization: 'Basic abc' }],
  ])('%s is a 401', async (_name, headers) => {
    const response = await fetch(`${server.url}/api/sandboxes`, {
      headers: headers as Record<string, string>,
    });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ code: 'unauthorized' });
  });

  test.each([
    ['X-API-Key', '', { 'x-api-key': `osb_${'0'.repeat(64)}` }],
    ['Bearer', '', { authorization: `Bearer osb_${'0'.repeat(64)}` }],
    ['the query', `?api_key=osb_${'0'.repeat(64)}`, {}],
  ])('the key is taken from %s', async (_name, query, headers) => {
    const response = await fetch(`${server.url}/api/sandboxes${query}`, {
      headers: headers as Record<string, string>,
    });
    expect(response.status).toBe(200);
  });
});

describe('every answer', () => {
  test('has a request id: the sane one that was given, or a new one', async () => {
    const given = await server.call('GET', '/health', undefined, { 'x-request-id': 'abc-123' });
    expect(given.headers.get('x-request-id')).toBe('abc-123');
    const insane = await server.call('GET', '/health', undefined, { 'x-request-id': 'a b' });
    expect(insane.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(insane.headers.get('access-control-allow-origin')).toBe('*');
  });

  test('is preceded by a preflight where browsers ask', async () => {
    const answer = await server.call('OPTIONS', '/api/sandboxes', undefined, {
      'access-control-request-headers': 'x-api-key',
    });
    expect(answer.status).toBe(204);
    expect(answer.headers.get('access-control-allow-headers')).toBe('x-api-key');
    expect(answer.headers.get('access-control-allow-methods')).toContain('DELETE');
  });
});

describe('health', () => {
  test('says what it is', async () => {
    expect((await server.call('GET', '/health')).json).toEqual({ status: 'ok' });
    expect((await server.call('GET', '/healthz')).json).toEqual({ status: 'alive' });
    expect((await server.call('GET', '/readyz')).json).toEqual({
      status: 'ready',
      database: true,
      worker: true,
    });
  });

  test('metrics count requests, sandboxes and operations', async () => {
    await server.create();
    const { text } = await server.call('GET', '/metrics');
    expect(text).toContain('opencomputer_sandboxes{state="running"} 1');
    expect(text).toContain('opencomputer_worker_reachable{worker="worker-simulated"} 1');
    expect(text).toContain('opencomputer_operations_total{kind="create",outcome="done"} 1');
    expect(text).toMatch(
      /opencomputer_http_request_seconds_count\{method="POST",route="\/api\/sandboxes",status="201"\} 1/,
    );
    expect(text).toContain('eventloop_lag');
  });
});

test('the log names requests but no secrets', async () => {
  await using other = await TestServer.start();
  await other.stopServer();
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  const running = await startServer(loadConfig(other.environment), { log: pino({ level: 'trace' }, sink) });
  await fetch(`${running.url}/api/sandboxes?api_key=${other.key}`);
  await fetch(`${running.url}/nowhere?api_key=${other.key}`, {
    headers: { authorization: `Bearer ${other.key}` },
  });
  await fetch(`${running.url}/api/sandboxes/sb-00000000/files/download?path=/a&expires=1&signature=f00dfeed`);
  await running.close();
  const text = lines.join('');
  expect(text).toContain('"route":"/api/sandboxes"');
  expect(text).toContain('"path":"/nowhere"');
  expect(text).not.toContain(other.key);
  expect(text).not.toContain('f00dfeed');
});
