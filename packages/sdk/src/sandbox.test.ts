import { describe, expect, test } from 'vitest';
import { AuthenticationError, SandboxNotFoundError, ServerError } from './errors.ts';
import { Sandbox } from './sandbox.ts';
import { sendJson, TestServer, wireSandbox } from './testing/http-server.ts';
import type { Handler } from './testing/http-server.ts';

const answering =
  (body: unknown, status = 200): Handler =>
  (_request, response) =>
    status === 204 ? response.writeHead(204).end() : sendJson(response, status, body);

async function connected(server: TestServer): Promise<Sandbox> {
  const sandbox = await Sandbox.connect('sb-0a1b2c3d', { apiUrl: server.url });
  server.seen.length = 0;
  return sandbox;
}

describe('create', () => {
  test('sends what was given, and defaults of its own for template and timeout', async () => {
    await using server = await TestServer.start(answering(wireSandbox, 201));
    const { url: apiUrl } = server;
    await Sandbox.create({ apiUrl, apiKey: 'osb_k' });
    await Sandbox.create({
      apiUrl,
      template: 'other',
      timeout: 0,
      envs: { A: '1' },
      metadata: { project: 'x' },
      cpuCount: 2,
      memoryMB: 512,
      diskMB: 20480,
    });
    expect(server.seen.map(({ method, path }) => `${method} ${path}`)).toEqual(
      Array(2).fill('POST /api/sandboxes'),
    );
    expect(server.seen[0]?.headers['x-api-key']).toBe('osb_k');
    expect(server.seen.map(({ body }) => JSON.parse(String(body)))).toEqual([
      { templateID: 'base', timeout: 300 },
      {
        templateID: 'other',
        timeout: 0,
        envs: { A: '1' },
        metadata: { project: 'x' },
        cpuCount: 2,
        memoryMB: 512,
        diskMB: 20480,
      },
    ]);
  });

  test('shows what the server sent', async () => {
    await using server = await TestServer.start(answering(wireSandbox, 201));
    const sandbox = await Sandbox.create({ apiUrl: server.url });
    expect(sandbox).toMatchObject({ sandboxId: 'sb-0a1b2c3d', id: 'sb-0a1b2c3d', status: 'running' });
    expect(sandbox.commands).toBe(sandbox.exec);
    expect(sandbox.domain).toBe('sb-0a1b2c3d-p80.preview.test');
    expect(sandbox.getPreviewDomain(3000)).toBe('sb-0a1b2c3d-p3000.preview.test');
    expect(sandbox.metadata).toEqual({ project: 'x' });
    expect(sandbox.info).toMatchObject({
      template: 'base',
      workerId: 'local',
      startedAt: new Date('2026-01-02T03:04:05Z'),
      endAt: new Date('2026-01-02T03:09:05Z'),
    });
  });

  test('never expiring has no end, and no preview domain is an empty name', async () => {
    const body = { ...wireSandbox, endAt: '0001-01-01T00:00:00Z', sandboxDomain: '' };
    await using server = await TestServer.start(answering(body, 201));
    const sandbox = await Sandbox.create({ apiUrl: server.url });
    expect(sandbox.info.endAt).toBeUndefined();
    expect(sandbox.domain).toBe('');
  });

  test('an answer without an id is an error', async () => {
    await using server = await TestServer.start(answering({ hello: 'world' }));
    await expect(Sandbox.create({ apiUrl: server.url })).rejects.toBeInstanceOf(ServerError);
  });
});

describe('connect', () => {
  test.each(['', '.', '..', 'a/b', 'a?b'])('refuses the id %j before it asks anyone', async (id) => {
    await using server = await TestServer.start(answering(wireSandbox));
    await expect(Sandbox.connect(id, { apiUrl: server.url })).rejects.toThrow(/is not a sandbox id/);
    expect(server.seen).toHaveLength(0);
  });

  test('an unknown id is a SandboxNotFoundError', async () => {
    await using server = await TestServer.start(answering({ error: 'x', code: 'sandbox_not_found' }, 404));
    await expect(Sandbox.connect('sb-1', { apiUrl: server.url })).rejects.toBeInstanceOf(
      SandboxNotFoundError,
    );
  });
});

describe('life', () => {
  test('isRunning refreshes, is false when gone, and throws when nobody knows', async () => {
    const answers: [number, unknown][] = [
      [200, wireSandbox],
      [200, wireSandbox],
      [200, { ...wireSandbox, status: 'error', statusReason: 'its process ended' }],
      [404, { error: 'x', code: 'sandbox_not_found' }],
      [401, { error: 'x', code: 'unauthorized' }],
    ];
    await using server = await TestServer.start((_request, response) =>
      sendJson(response, ...(answers.shift() as [number, unknown])),
    );
    const sandbox = await connected(server);
    expect(await sandbox.isRunning()).toBe(true);
    expect(await sandbox.isRunning()).toBe(false);
    expect(sandbox.info).toMatchObject({ status: 'error', statusReason: 'its process ended' });
    expect(await sandbox.isRunning()).toBe(false);
    expect(sandbox.status).toBe('stopped');
    await expect(sandbox.isRunning()).rejects.toBeInstanceOf(AuthenticationError);
  });

  test('setTimeout and kill', async () => {
    await using server = await TestServer.start((request, response) =>
      request.method === 'GET' ? sendJson(response, 200, wireSandbox) : response.writeHead(204).end(),
    );
    const sandbox = await connected(server);
    await sandbox.setTimeout(600);
    expect(sandbox.info.timeout).toBe(600);
    await sandbox.kill();
    expect(sandbox.status).toBe('stopped');
    expect(server.seen.map(({ method, path, body }) => [method, path, String(body)])).toEqual([
      ['POST', '/api/sandboxes/sb-0a1b2c3d/timeout', '{"timeout":600}'],
      ['DELETE', '/api/sandboxes/sb-0a1b2c3d', ''],
    ]);
  });

  test('await using kills', async () => {
    await using server = await TestServer.start((request, response) =>
      request.method === 'GET' ? sendJson(response, 200, wireSandbox) : response.writeHead(204).end(),
    );
    {
      await using sandbox = await connected(server);
      expect(sandbox.status).toBe('running');
    }
    expect(server.seen.map(({ method }) => method)).toEqual(['DELETE']);
  });

  test('signed URLs', async () => {
    await using server = await TestServer.start((request, response) =>
      sendJson(response, 200, request.method === 'GET' ? wireSandbox : { url: request.path, expiresAt: '' }),
    );
    const sandbox = await connected(server);
    expect(await sandbox.downloadUrl('/a', { expiresIn: 60 })).toMatch(/files\/download-url$/);
    expect(await sandbox.uploadUrl('/a')).toMatch(/files\/upload-url$/);
    expect(server.seen.map(({ body }) => JSON.parse(String(body)))).toEqual([
      { path: '/a', expiresIn: 60 },
      { path: '/a' },
    ]);
  });
});

describe('list', () => {
  const page = (ids: string[]) => ids.map((sandboxID) => ({ ...wireSandbox, sandboxID }));

  test('goes through all pages, and fetches none that is not needed', async () => {
    await using server = await TestServer.start((request, response) => {
      if (request.query.get('cursor') === null)
        sendJson(response, 200, page(['sb-1', 'sb-2']), { 'x-next-cursor': 'next' });
      else sendJson(response, 200, page(['sb-3']));
    });
    const list = Sandbox.list({
      apiUrl: server.url,
      status: 'all',
      limit: 2,
      metadata: { project: 'x', 'odd key]': '=&' },
    });
    const ids: string[] = [];
    for await (const sandbox of list) ids.push(sandbox.sandboxId);
    expect(ids).toEqual(['sb-1', 'sb-2', 'sb-3']);
    const filters = { status: 'all', limit: '2', 'metadata[project]': 'x', 'metadata[odd key]]': '=&' };
    expect(server.seen.map(({ query }) => Object.fromEntries(query))).toEqual([
      filters,
      { ...filters, cursor: 'next' },
    ]);
    for await (const { sandboxes, nextCursor } of list.pages()) {
      expect([sandboxes.length, nextCursor]).toEqual([2, 'next']);
      break;
    }
    expect(server.seen).toHaveLength(3);
  });
});
