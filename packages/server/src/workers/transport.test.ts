import {
  ClientRequest,
  createServer,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { eventually, temporaryDirectory } from '../testing/harness.ts';
import { type WorkerCall, WorkerTransport, WorkerUnreachable } from './transport.ts';

async function worker(listener: RequestListener): Promise<{ transport: WorkerTransport; server: Server }> {
  const directory = temporaryDirectory();
  const path = join(directory.path, 'w.sock');
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const transport = new WorkerTransport(path);
  onTestFinished(() => {
    transport.close();
    server.closeAllConnections();
    server.close();
    directory[Symbol.dispose]();
  });
  return { transport, server };
}

const get: WorkerCall = { name: 'test', method: 'GET', path: '/x', timeoutMs: 5000 };

describe('an answer', () => {
  test('that does not come is a timeout', async () => {
    const { transport } = await worker(() => undefined);
    await expect(transport.json({ ...get, timeoutMs: 100 }, 100)).rejects.toMatchObject({
      code: 'worker_timeout',
    });
  });

  test('that is on the way is waited for as long as the worker says so', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { promise: asked, resolve } = Promise.withResolvers<ServerResponse>();
    const { transport } = await worker((_request, response) => resolve(response));
    const answer = transport.json({ ...get, timeoutMs: 1000 }, 100);
    const response = await asked;
    const informed = vi.spyOn(ClientRequest.prototype, 'emit');
    onTestFinished(() => informed.mockRestore());
    for (let told = 1; told <= 5; told += 1) {
      vi.advanceTimersByTime(999);
      response.writeProcessing();
      await eventually(
        'told',
        () => informed.mock.calls.filter(([event]) => event === 'information').length === told,
      );
    }
    vi.advanceTimersByTime(999);
    response.end('1');
    expect(await answer).toBe(1);
  });

  test.each([
    ['longer than due', (body: string) => body.padEnd(200), 'internal'],
    ['that is not JSON', () => 'nonsense', 'internal'],
  ])('%s is refused', async (_name, make, code) => {
    const { transport } = await worker((_request, response) => response.end(make('{}')));
    await expect(transport.json(get, 100)).rejects.toMatchObject({ code });
  });

  test('that breaks off is the worker going away', async () => {
    const { transport } = await worker((_request, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('{');
      setImmediate(() => response.destroy());
    });
    await expect(transport.json(get, 100)).rejects.toBeInstanceOf(WorkerUnreachable);
  });

  test.each([
    ['{"error":"full","code":"no_capacity"}', { code: 'no_capacity', message: 'full' }],
    ['{"error":5,"code":"no such code"}', { code: 'internal' }],
    ['<html>', { code: 'internal' }],
    ['', { code: 'internal' }],
  ])('of failure is read as far as it makes sense: %s', async (body, expected) => {
    const { transport } = await worker((_request, response) => response.writeHead(500).end(body));
    await expect(transport.json(get, 100)).rejects.toMatchObject(expected);
  });
});

describe('connections', () => {
  test('that nobody listens to: nothing was sent', async () => {
    const transport = new WorkerTransport('/nonexistent/w.sock');
    await expect(transport.json(get, 100)).rejects.toMatchObject({
      code: 'worker_unavailable',
      neverSent: true,
    });
  });

  test('are kept, and one that was closed meanwhile is replaced', async () => {
    let connections = 0;
    const { transport, server } = await worker((_request, response) => response.end('1'));
    server.on('connection', () => (connections += 1));
    for (let call = 0; call < 5; call += 1) await transport.json(get, 100);
    expect(connections).toBe(1);
    server.closeAllConnections();
    expect(await transport.json(get, 100)).toBe(1);
  });

  test('a call that is not repeatable is not repeated', async () => {
    let calls = 0;
    const { transport } = await worker((request) => {
      calls += 1;
      request.socket.destroy();
    });
    const post = { ...get, method: 'POST' as const, json: {} };
    await expect(transport.json(post, 100)).rejects.toMatchObject({ neverSent: false });
    expect(calls).toBe(1);
  });

  test('an abort ends the call with its reason', async () => {
    const controller = new AbortController();
    const { transport } = await worker(() => controller.abort(new Error('enough')));
    const call = transport.json({ ...get, signal: controller.signal }, 100);
    await expect(call).rejects.toThrow('enough');
  });

  test('a source that fails breaks the request off', async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
    const { transport } = await worker((request) => {
      request.once('error', () => resolve());
      request.once('data', () => arrive());
    });
    const body = Readable.from(
      (async function* () {
        yield Buffer.from('half');
        await arrived;
        throw new Error('cut off');
      })(),
    );
    const call = transport.open({ ...get, method: 'PUT', stream: { body } });
    await expect(call).rejects.toMatchObject({ code: 'worker_unavailable' });
    await aborted;
  });
});
