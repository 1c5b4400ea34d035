import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { limits } from '@opencomputer/protocol';
import { standstill } from '@opencomputer/testing/standstill';
import { eventually, TestServer } from '../testing/harness.ts';

let server: TestServer;
let id: string;
beforeAll(async () => {
  server = await TestServer.start();
  id = await server.create();
});
afterAll(() => server[Symbol.asyncDispose]());

const files = (path: string, part = ''): string =>
  `/api/sandboxes/${id}/files${part}?path=${encodeURIComponent(path)}`;
const stored = (path: string) => server.worker.machine(id).files.content.get(path);
const read = (path: string, init: RequestInit = {}) =>
  fetch(server.url + files(path), { headers: { 'x-api-key': server.key }, ...init });

describe('files', () => {
  test('bytes are bytes, both ways', async () => {
    const bytes = Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 256));
    expect((await server.call('PUT', files('/tmp/b.bin'), bytes)).status).toBe(204);
    expect(stored('/tmp/b.bin')).toEqual(bytes);
    const response = await read('/tmp/b.bin');
    expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes);
    expect(response.headers.get('content-length')).toBe('4096');
    expect(response.headers.get('content-type')).toBe('application/octet-stream');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('x-request-id')).toMatch(/./);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
  });

  test('an empty file, odd names and relative paths', async () => {
    const name = "ünï code & 'quotes' +%?#.txt";
    expect((await server.call('PUT', files(name), '')).status).toBe(204);
    expect(stored(`/home/sandbox/${name}`)?.length).toBe(0);
    const response = await read(name);
    expect([response.status, await response.text()]).toEqual([200, '']);
  });

  test('HEAD tells the size and reads nothing', async () => {
    const response = await read('/zero/123456789', { method: 'HEAD' });
    expect([response.status, response.headers.get('content-length')]).toEqual([200, '123456789']);
    expect(await response.text()).toBe('');
    expect((await read('/missing', { method: 'HEAD' })).status).toBe(404);
  });

  test('HEAD of a list is answered as the list is, without it', async () => {
    const told = vi.spyOn(console, 'error');
    const url = server.url + files('/', '/list');
    const response = await fetch(url, { method: 'HEAD', headers: { 'x-api-key': server.key } });
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
      200,
      'application/json',
      '',
    ]);
    // What went wrong behind an answer is told there only.
    expect(told.mock.calls).toEqual([]);
    told.mockRestore();
  });

  test('list, make, remove', async () => {
    expect((await server.call('POST', files('/tmp/d', '/mkdir'))).status).toBe(204);
    await server.call('PUT', files('/tmp/d/one'), 'x');
    await server.call('PUT', files('/tmp/d/none'), '');
    const { json } = await server.call('GET', files('/tmp/d', '/list'));
    expect(json.map((entry: { name: string }) => entry.name)).toEqual(['one', 'none']);
    expect(json[0]).toEqual({
      name: 'one',
      path: '/tmp/d/one',
      isDir: false,
      size: 1,
      type: 'file',
      mode: '0644',
      modifiedAt: '2026-01-01T00:00:00Z',
    });
    expect(json[1]).not.toHaveProperty('size');
    expect((await server.call('DELETE', files('/tmp/d'))).status).toBe(204);
    expect((await server.call('DELETE', files('/tmp/d'))).status).toBe(204);
    const root = await server.call('GET', `/api/sandboxes/${id}/files/list`);
    expect(root.json.map((entry: { name: string }) => entry.name)).toContain('home');
  });
});

describe('large files', () => {
  const size = 300 * 1024 * 1024;

  test('are read and written in constant memory', async () => {
    const before = process.memoryUsage();
    let most = 0;
    const watch = setInterval(() => {
      const { rss, arrayBuffers } = process.memoryUsage();
      most = Math.max(most, rss - before.rss, arrayBuffers - before.arrayBuffers);
    }, 20);
    const response = await read(`/zero/${size}`);
    let count = 0;
    const upload = request(server.url + files('/null/big'), {
      method: 'PUT',
      headers: { 'x-api-key': server.key, 'content-length': size },
    });
    const answered = new Promise<number>((resolve) => {
      upload.once('response', (answer) => resolve(answer.statusCode ?? 0));
    });
    for await (const chunk of response.body ?? []) {
      count += chunk.length;
      if (!upload.write(chunk)) await new Promise((resolve) => upload.once('drain', resolve));
    }
    upload.end();
    expect(count).toBe(size);
    expect(await answered).toBe(204);
    clearInterval(watch);
    expect(most).toBeLessThan(150 * 1024 * 1024);
  });

  test('a reader that stops reading stops the worker', async () => {
    const response = await read(`/zero/${size}`);
    const simulated = server.worker.machine(id).files;
    const before = simulated.sent - 1;
    expect(await standstill(() => simulated.sent - before)).toBeLessThan(32 * 1024 * 1024);
    await response.body?.cancel();
  });

  test('more than the limit is refused before it is sent', async () => {
    const upload = request(server.url + files('/tmp/huge'), {
      method: 'PUT',
      headers: { 'x-api-key': server.key, 'content-length': limits.fileBytes + 1 },
    });
    upload.on('error', () => undefined);
    const status = await new Promise((resolve) => {
      upload.once('response', (answer) => resolve(answer.statusCode));
      upload.write('x');
    });
    expect(status).toBe(413);
    upload.destroy();
  });
});

describe('what breaks off', () => {
  test.each([
    ['declared', 'content-length: 100\r\n\r\nhalf'],
    ['chunked', 'transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  ])('an upload that is cut off (%s) changes nothing', async (_name, rest) => {
    await server.call('PUT', files('/tmp/kept'), 'old');
    const simulated = server.worker.machine(id).files;
    simulated.received = 0;
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`PUT ${files('/tmp/kept')} HTTP/1.1\r\nhost: x\r\nx-api-key: ${server.key}\r\n${rest}`);
    await eventually('half of it is there', () => simulated.received === 'half'.length);
    socket.destroy();
    await eventually('seen', () => simulated.cutOff > 0);
    simulated.cutOff = 0;
    expect(stored('/tmp/kept')?.toString()).toBe('old');
  });

  test('a download that breaks is not taken for complete', async () => {
    await server.call('PUT', files('/tmp/half'), 'x'.repeat(1000));
    server.worker.fail('GET files', 'dieMidAnswer');
    const response = await read('/tmp/half');
    await expect(response.arrayBuffer()).rejects.toThrow();
  });

  test('a list that breaks after its first entries is not taken for complete', async () => {
    const simulated = server.worker.machine(id).files;
    for (let index = 0; index < 5000; index++) simulated.content.set(`/tmp/many/${index}`, Buffer.alloc(1));
    simulated.directories.add('/tmp/many');
    server.worker.fail('GET files', 'dieMidAnswer');
    const response = await fetch(server.url + files('/tmp/many', '/list'), {
      headers: { 'x-api-key': server.key },
    });
    expect(response.status).toBe(200);
    await expect(response.json()).rejects.toThrow();
    const { json } = await server.call('GET', files('/tmp/many', '/list'));
    expect(json.map((entry: { path: string }) => entry.path)).toEqual(
      Array.from({ length: 5000 }, (_, index) => `/tmp/many/${index}`),
    );
  });

  test('a short list that makes no sense is a 502, one that is empty is an empty array', async () => {
    const simulated = server.worker.machine(id).files;
    simulated.directories.add('/tmp/empty');
    expect((await server.call('GET', files('/tmp/empty', '/list'))).json).toEqual([]);
    simulated.listText = '{"truncated":false}\n{}\n{"end":true}\n';
    const answer = await server.call('GET', files('/tmp/empty', '/list'));
    expect([answer.status, answer.json.code]).toEqual([502, 'guest_failed']);
    simulated.listText = '{"truncated":true}\n{"end":true}\n';
    const response = await fetch(server.url + files('/tmp/empty', '/list'), {
      headers: { 'x-api-key': server.key },
    });
    expect([response.headers.get('x-truncated'), await response.json()]).toEqual(['true', []]);
    simulated.listText = undefined;
  });

  test('an upload to a worker that is away is a 503', async () => {
    server.worker.fail('PUT files', 'refuse');
    const answer = await server.call('PUT', files('/tmp/new'), 'x');
    expect([answer.status, answer.json.code]).toEqual([503, 'worker_unavailable']);
    expect(stored('/tmp/new')).toBeUndefined();
  });

  test('an upload that is refused early is answered', async () => {
    const answer = await server.call('PUT', files('/tmp'), Buffer.alloc(20 * 1024 * 1024));
    expect([answer.status, answer.json?.code]).toEqual([400, 'is_directory']);
  });
});

describe('signed URLs', () => {
  const sign = async (action: 'download' | 'upload', path: string, expiresIn?: number) =>
    (await server.call('POST', `/api/sandboxes/${id}/files/${action}-url`, { path, expiresIn })).json;

  test('write and read one file without a key', async () => {
    const up = await sign('upload', '/tmp/signed file.txt');
    expect((await fetch(up.url, { method: 'PUT', body: 'signed' })).status).toBe(204);
    const asked = Date.now();
    const down = await sign('download', '/tmp/signed file.txt', 60);
    const answered = Date.now();
    expect(down.url.startsWith(`${server.url}/api/sandboxes/${id}/files/download?path=`)).toBe(true);
    // It is in whole seconds.
    expect(Date.parse(down.expiresAt) - 60_000).toBeGreaterThan(asked - 1000);
    expect(Date.parse(down.expiresAt) - 60_000).toBeLessThanOrEqual(answered);
    const response = await fetch(down.url);
    expect([response.status, await response.text()]).toEqual([200, 'signed']);
  });

  test('allow nothing else', async () => {
    const { url } = await sign('download', '/tmp/a');
    const changed = (change: (query: URLSearchParams) => void): string => {
      const other = new URL(url);
      change(other.searchParams);
      return other.href;
    };
    const cases: [string, string, number, string][] = [
      ['PUT', url.replace('/download?', '/upload?'), 403, 'signature_invalid'],
      ['GET', changed((query) => query.set('path', '/etc/shadow')), 403, 'signature_invalid'],
      ['GET', changed((query) => query.set('expires', '99999999999')), 403, 'signature_invalid'],
      ['GET', changed((query) => query.set('signature', 'x')), 403, 'signature_invalid'],
      ['GET', changed((query) => query.delete('signature')), 400, 'invalid_request'],
      ['GET', changed((query) => query.set('expires', 'soon')), 400, 'invalid_request'],
      ['GET', changed((query) => query.delete('path')), 400, 'invalid_path'],
      ['GET', url.replace(id, 'sb-00000000'), 403, 'signature_invalid'],
    ];
    for (const [method, target, status, code] of cases) {
      const response = await fetch(target, { method, ...(method === 'PUT' ? { body: 'x' } : {}) });
      expect([target, response.status, ((await response.json()) as { code: string }).code]).toEqual([
        target,
        status,
        code,
      ]);
    }
  });

  test('survive a restart of the server', async () => {
    await server.call('PUT', files('/tmp/again'), 'x');
    const { url } = await sign('download', '/tmp/again');
    await server.stopServer();
    await server.startServer();
    const moved = new URL(url);
    moved.host = new URL(server.url).host;
    expect((await fetch(moved)).status).toBe(200);
  });
});
