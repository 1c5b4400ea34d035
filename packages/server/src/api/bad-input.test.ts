import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limits } from '@opencomputer/protocol';
import { TestServer } from '../testing/harness.ts';

let server: TestServer;
let id: string;
beforeAll(async () => {
  server = await TestServer.start({ OPENCOMPUTER_MAX_SANDBOXES: '5' });
  id = await server.create();
});
afterAll(() => server[Symbol.asyncDispose]());

const many = (count: number, value: string) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, value]));

/** What a raw request is answered. */
async function raw(text: string): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.end(text);
  let answer = '';
  for await (const piece of socket) answer += String(piece);
  return answer;
}

describe('a body that is nested', () => {
  const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

  test.each([
    ['an agent', 'agent', (depth: number) => `{"mcpServers":{"x":${nested(depth - 2)}}}`],
    ['a command', 'exec/run', (depth: number) => `{"cmd":"true","envs":${nested(depth - 1)}}`],
    ['lists', 'exec/run', (depth: number) => '['.repeat(depth) + ']'.repeat(depth)],
  ])('too deep is refused with the limit: %s', async (_, route, body) => {
    for (const depth of [limits.jsonDepth + 1, 100_000]) {
      const { status, json } = await server.call('POST', `/api/sandboxes/${id}/${route}`, body(depth));
      expect([status, json.code, json.error]).toEqual([
        400,
        'invalid_request',
        `the body is nested deeper than ${limits.jsonDepth} levels`,
      ]);
    }
  });

  test('as deep as may be is taken', async () => {
    const body = `{"mcpServers":{"x":${nested(limits.jsonDepth - 2)}}}`;
    expect((await server.call('POST', `/api/sandboxes/${id}/agent`, body)).status).toBe(201);
  });
});

describe('two Host headers are refused', () => {
  const hosts = 'Host: 127.0.0.1\r\nhost: evil.example\r\n';

  test.each([
    ['a request', 'Connection: close\r\n'],
    ['a WebSocket', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'],
  ])('of %s', async (_, more) => {
    const answer = await raw(`GET /health HTTP/1.1\r\n${hosts}${more}\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(answer).toContain('more than one Host header');
  });

  test('one is fine', async () => {
    const answer = await raw('GET /health HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe('create refuses', () => {
  test.each<[string, object]>([
    ['cpuCount', { cpuCount: 0 }],
    ['cpuCount', { cpuCount: -1 }],
    ['cpuCount', { cpuCount: 1.5 }],
    ['cpuCount', { cpuCount: 5 }],
    ['cpuCount', { cpuCount: 1e300 }],
    ['cpuCount', { cpuCount: '2' }],
    ['memoryMB', { memoryMB: 127 }],
    ['memoryMB', { memoryMB: 2049 }],
    ['memoryMB', { memoryMB: -5 }],
    ['memoryMB', { memoryMB: 1024.5 }],
    ['memoryMB', { memoryMB: null }],
    ['diskMB', { diskMB: 1 }],
    ['diskMB', { diskMB: 999_999 }],
    ['timeout', { timeout: -1 }],
    ['timeout', { timeout: 1.5 }],
    ['timeout', { timeout: limits.timeoutSecondsMax + 1 }],
    ['timeout', { timeout: 'soon' }],
    ['templateID', { templateID: '' }],
    ['templateID', { templateID: 5 }],
    ['templateID', { templateID: 'x'.repeat(129) }],
    ['envs', { envs: { '': 'x' } }],
    ['envs', { envs: { 'A=B': 'x' } }],
    ['envs', { envs: { 'A\0': 'x' } }],
    ['envs', { envs: { A: 'x\0' } }],
    ['envs', { envs: { A: 5 } }],
    ['envs', { envs: ['A=1'] }],
    ['envs', { envs: many(limits.envVars + 1, '') }],
    ['envs', { envs: { A: 'x'.repeat(limits.envBytes) } }],
    ['metadata', { metadata: { a: 1 } }],
    ['metadata', { metadata: { '': 'x' } }],
    ['metadata', { metadata: many(limits.metadataKeys + 1, '') }],
    ['metadata', { metadata: { a: 'x'.repeat(limits.metadataValueLength + 1) } }],
    ['metadata', { metadata: many(10, 'x'.repeat(4000)) }],
    ['expected object', []],
  ])('a bad %s: %j', async (field, body) => {
    const answer = await server.call('POST', '/api/sandboxes', body);
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ code: 'invalid_request', hint: expect.any(String) });
    expect(answer.json.error).toContain(field);
    expect(answer.json.requestId).toBe(answer.headers.get('x-request-id'));
  });

  test('an unknown template, and changes nothing', async () => {
    const before = await server.call('GET', '/api/sandboxes?status=all');
    const answer = await server.call('POST', '/api/sandboxes', { templateID: 'none' });
    expect([answer.status, answer.json.code]).toEqual([404, 'template_not_found']);
    const after = await server.call('GET', '/api/sandboxes?status=all');
    expect(after.json.length).toBe(before.json.length);
  });

  test('more than the quota, with the figures', async () => {
    const made = await Promise.all(
      Array.from({ length: 6 }, () => server.call('POST', '/api/sandboxes', {})),
    );
    const statuses = made.map((answer) => answer.status).toSorted((a, b) => a - b);
    expect(statuses).toEqual([201, 201, 201, 201, 429, 429]);
    const refused = made.find((answer) => answer.status === 429);
    expect(refused?.json).toMatchObject({ code: 'too_many_sandboxes', active: 5, limit: 5 });
    for (const answer of made)
      if (answer.status === 201) await server.call('DELETE', `/api/sandboxes/${answer.json.sandboxID}`);
  });
});

describe('bodies', () => {
  test('an empty body is an empty object', async () => {
    const answer = await server.call('POST', '/api/sandboxes');
    expect(answer.status).toBe(201);
    await server.call('DELETE', `/api/sandboxes/${answer.json.sandboxID}`);
  });

  test.each(['{', '{"cpuCount":1', 'nonsense', '{"a":1}{'])('%j is not JSON', async (body) => {
    const answer = await server.call('POST', '/api/sandboxes', body);
    expect([answer.status, answer.json.code]).toEqual([400, 'invalid_json']);
  });

  test('invalid UTF-8 is not JSON', async () => {
    const body = Buffer.concat([
      Buffer.from('{"templateID":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}'),
    ]);
    const answer = await server.call('POST', '/api/sandboxes', body);
    expect([answer.status, answer.json.code]).toEqual([400, 'invalid_json']);
  });

  test('one that is too large is refused, declared or not', async () => {
    const large = `{"templateID":"${'x'.repeat(limits.jsonBodyBytes)}"}`;
    const declared = await server.call('POST', '/api/sandboxes', large);
    expect(declared.json).toMatchObject({ code: 'too_large', limit: limits.jsonBodyBytes });
    const chunked = await fetch(`${server.url}/api/sandboxes`, {
      method: 'POST',
      headers: { 'x-api-key': server.key },
      body: new Blob([large]).stream(),
      duplex: 'half',
    });
    expect(chunked.status).toBe(413);
  });

  test('one that is cut off is a 400, and changes nothing', async () => {
    const { port } = new URL(server.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.end(
      `POST /api/sandboxes HTTP/1.1\r\nhost: x\r\nx-api-key: ${server.key}\r\ncontent-length: 100\r\n\r\n{"cpuCount":1`,
    );
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1.1 400 /);
    expect(text).toMatch(/"code":"invalid_(json|request)"/);
    expect((await server.call('GET', '/api/sandboxes')).json.length).toBe(1);
  });
});

describe('requests that are hardly HTTP', () => {
  test.each([
    ['nonsense\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nhost: [\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`, 413],
  ])('%#', async (text, status) => {
    const { port } = new URL(server.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.end(text);
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ hint: expect.any(String) });
  });
});

describe('exec refuses', () => {
  test.each<[string, object]>([
    ['cmd is required', {}],
    ['cmd is required', { cmd: '' }],
    ['cmd', { cmd: 5 }],
    ['cmd', { cmd: 'a\0b' }],
    ['args', { cmd: 'a', args: 'b' }],
    ['args', { cmd: 'a', args: ['\0'] }],
    ['envs', { cmd: 'a', envs: { '=': '' } }],
    ['cwd', { cmd: 'a', cwd: '\0' }],
    ['timeout', { cmd: 'a', timeout: -1 }],
    ['timeout', { cmd: 'a', timeout: limits.execTimeoutSecondsMax + 1 }],
  ])('%s: %j', async (message, body) => {
    for (const route of ['run', 'run-async']) {
      const answer = await server.call('POST', `/api/sandboxes/${id}/exec/${route}`, body);
      expect([answer.status, answer.json.code]).toEqual([400, 'invalid_request']);
      expect(answer.json.error).toContain(message);
    }
  });

  test.each<[string, () => string[], string]>([
    ['too many arguments', () => Array(limits.execArgsBytes / 8).fill('') as string[], 'together'],
    ['an argument too long', () => ['x'.repeat(limits.execArgBytes + 1)], '131071 bytes'],
    ['one that is too long as UTF-8', () => ['\u00fc'.repeat(limits.execArgBytes / 2 + 1)], '131071 bytes'],
    ['too much in all', () => Array(16).fill('x'.repeat(limits.execArgBytes)) as string[], 'together'],
  ])('%s', async (_, args, message) => {
    const body = { cmd: 'a', args: args() };
    const answer = await server.call('POST', `/api/sandboxes/${id}/exec/run`, body);
    expect([answer.status, answer.json.code]).toEqual([400, 'invalid_request']);
    expect(answer.json.error).toContain(message);
  });

  test('no command for its size that Linux takes, whatever its bytes are in JSON', async () => {
    const args = Array(14).fill('\u00e9"'.repeat(40_000)) as string[];
    const body = JSON.stringify({ cmd: 'echo', args }).replaceAll('\u00e9', String.raw`\u00e9`);
    expect(body.length).toBeGreaterThan(4 * 1024 * 1024);
    const answer = await server.call('POST', `/api/sandboxes/${id}/exec/run`, Buffer.from(body));
    expect(answer.status).toBe(200);
    expect(answer.json.stdout === `${args.join(' ')}\n`).toBe(true);
  });

  test('a command that cannot start', async () => {
    const answer = await server.call('POST', `/api/sandboxes/${id}/exec/run`, { cmd: 'no-such-thing' });
    expect([answer.status, answer.json.code]).toEqual([422, 'command_not_started']);
    expect(answer.json.error).toContain('no-such-thing');
  });

  test.each(['0a1b2c3d', 'nonsense', '%00', '../..'])('the command id %s', async (execId) => {
    const answer = await server.call('GET', `/api/sandboxes/${id}/exec/${execId}/result`);
    expect(answer.status).toBe(404);
  });
});

describe('paths', () => {
  const files = (path: string) => `/api/sandboxes/${id}/files${path}`;

  test.each(['', '?path=', '?path=..', '?path=/a/../b', '?path=a%00b', `?path=/${'x'.repeat(4096)}`])(
    'files%s is refused for reading, writing and deleting',
    async (query) => {
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const answer = await server.call(method, files(query), method === 'PUT' ? 'x' : undefined);
        expect([method, answer.status, answer.json.code]).toEqual([method, 400, 'invalid_path']);
      }
      expect((await server.call('POST', files(`/mkdir${query}`))).json.code).toBe('invalid_path');
    },
  );

  test.each([
    ['GET', '?path=/tmp', 400, 'is_directory'],
    ['PUT', '?path=/tmp', 400, 'is_directory'],
    ['GET', '?path=/missing', 404, 'file_not_found'],
    ['GET', '/list?path=/missing', 404, 'file_not_found'],
    ['GET', '/list?path=..', 400, 'invalid_path'],
    ['POST', '/download-url', 400, 'invalid_request'],
  ])('%s files%s is %i %s', async (method, path, status, code) => {
    const answer = await server.call(method, files(path), method === 'PUT' ? 'x' : undefined);
    expect([answer.status, answer.json.code]).toEqual([status, code]);
  });
});

describe('lists refuse', () => {
  test.each([
    'status=dead',
    'limit=0',
    'limit=1001',
    'limit=x',
    'limit=1.5',
    'cursor=x',
    'cursor=!!',
    'cursor=',
  ])('%s', async (query) => {
    const answer = await server.call('GET', `/api/sandboxes?${query}`);
    expect([answer.status, answer.json.code]).toEqual([400, 'invalid_request']);
  });
});

describe('ids and states', () => {
  test.each(['sb-00000000', 'nonsense', 'sb-XXXXXXXX', '%2e%2e', 'x'.repeat(500)])(
    'the sandbox %s is not found',
    async (other) => {
      for (const [method, path] of [
        ['GET', ''],
        ['DELETE', ''],
        ['GET', '/files/list'],
      ] as const) {
        const answer = await server.call(method, `/api/sandboxes/${other}${path}`);
        expect(answer.status).toBe(404);
        expect(answer.json.code).toMatch(/not_found/);
      }
    },
  );

  test('a stopped sandbox is gone for every operation, stays readable, and may be deleted again', async () => {
    const stopped = await server.create();
    expect((await server.call('DELETE', `/api/sandboxes/${stopped}`)).status).toBe(204);
    for (const [method, path, body] of [
      ['POST', '/exec/run', { cmd: 'echo' }],
      ['POST', '/exec/run-async', { cmd: 'echo' }],
      ['GET', '/exec/0a1b2c3d/result', undefined],
      ['GET', '/files?path=/a', undefined],
      ['PUT', '/files?path=/a', 'x'],
      ['DELETE', '/files?path=/a', undefined],
      ['GET', '/files/list', undefined],
      ['POST', '/files/mkdir?path=/a', undefined],
      ['POST', '/timeout', { timeout: 5 }],
    ] as const) {
      const answer = await server.call(method, `/api/sandboxes/${stopped}${path}`, body);
      expect([path, answer.status, answer.json.code]).toEqual([path, 410, 'sandbox_stopped']);
    }
    expect((await server.call('GET', `/api/sandboxes/${stopped}`)).json.status).toBe('stopped');
    expect((await server.call('DELETE', `/api/sandboxes/${stopped}`)).status).toBe(204);
  });
});
