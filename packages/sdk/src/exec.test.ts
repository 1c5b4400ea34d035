import type { ServerResponse } from 'node:http';
import { eventually } from '@opencomputer/testing/eventually';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  ConnectionError,
  ExecTimeoutError,
  NotFoundError,
  SandboxStoppedError,
  ServerError,
} from './errors.ts';
import { Exec } from './exec.ts';
import { HttpClient } from './http.ts';
import { SessionApi } from './sessions.ts';
import { sendJson, TestServer } from './testing/http-server.ts';
import type { Handler } from './testing/http-server.ts';

const runAsync = '/api/sandboxes/sb-1/exec/run-async';
const result = '/api/sandboxes/sb-1/exec/abcd1234/result';
const started = { execId: 'abcd1234', running: true, startedAt: '2026-01-02T03:04:05Z' };
const running = { running: true, stdout: '', stderr: '' };
const ended = { running: false, exitCode: 3, stdout: 'out', stderr: 'err', truncated: true };

function execAt(url: string): Exec {
  const http = new HttpClient({ apiUrl: `${url}/api`, apiKey: '', requestTimeoutMs: undefined });
  return new Exec(http, '/sandboxes/sb-1', new SessionApi(http, '/sandboxes/sb-1', () => undefined));
}

/** Answers run-async with an id, and polls by `poll`, which gets their number, from 1. */
function polled(poll: (n: number, ...rest: Parameters<Handler>) => unknown): Handler {
  let polls = 0;
  return (request, response) => {
    if (request.path === runAsync) return sendJson(response, 202, started);
    polls += 1;
    return poll(polls, request, response);
  };
}

describe('run', () => {
  test('sends a line of shell with its options', async () => {
    await using server = await TestServer.start((_request, response) =>
      sendJson(response, 200, { exitCode: 0, stdout: 'hi\n', stderr: '' }),
    );
    const options = { env: { A: '1' }, cwd: '/tmp', timeout: 5 };
    expect(await execAt(server.url).run('echo hi', options)).toEqual({
      exitCode: 0,
      stdout: 'hi\n',
      stderr: '',
      truncated: false,
    });
    await execAt(server.url).run('true');
    expect(server.seen.map(({ path, body }) => [path, JSON.parse(String(body))])).toEqual([
      [runAsync, { cmd: 'sh', args: ['-c', 'echo hi'], envs: { A: '1' }, cwd: '/tmp', timeout: 5 }],
      [runAsync, { cmd: 'sh', args: ['-c', 'true'], timeout: 60 }],
    ]);
  });

  test('polls a command that takes longer, without hammering a server that does not hold polls', async () => {
    await using server = await TestServer.start(
      polled((n, _request, response) => sendJson(response, 200, n < 3 ? running : ended)),
    );
    const before = Date.now();
    const { running: _running, ...expected } = ended;
    expect(await execAt(server.url).run('sleep 1')).toEqual(expected);
    expect(server.seen.map(({ path }) => path)).toEqual([runAsync, result, result, result]);
    expect(Date.now() - before).toBeGreaterThanOrEqual(200);
  });

  test('survives a server that is restarted in the middle', async () => {
    const handler = polled((_n, _request, response) => sendJson(response, 200, running));
    const server = await TestServer.start(handler);
    const pending = execAt(server.url).run('sleep 5');
    await expect.poll(() => server.seen.length).toBeGreaterThan(1);
    const { port } = server;
    const requests = vi.spyOn(globalThis, 'fetch');
    onTestFinished(() => requests.mockRestore());
    await server[Symbol.asyncDispose]();
    // Refused connections for a while, then answers of a proxy and of a server that is not ready.
    const refused = () => requests.mock.settledResults.filter(({ type }) => type === 'rejected').length;
    await expect.poll(refused).toBeGreaterThan(2);
    let answers = 0;
    await using again = await TestServer.start((_request, response) => {
      answers += 1;
      if (answers === 1) response.writeHead(502).end('bad gateway');
      else if (answers === 2) sendJson(response, 503, { error: 'away', code: 'worker_unavailable' });
      else if (answers === 3) response.destroy();
      else sendJson(response, 200, ended);
    }, port);
    expect(await pending).toMatchObject({ exitCode: 3 });
    expect(again.seen).toHaveLength(4);
  });

  test.each([
    [410, 'sandbox_stopped', SandboxStoppedError],
    [404, 'exec_not_found', NotFoundError],
  ])('stops polling at %i %s', async (status, code, Class) => {
    await using server = await TestServer.start(
      polled((_n, _request, response) => sendJson(response, status, { error: 'x', code })),
    );
    await expect(execAt(server.url).run('sleep 1')).rejects.toBeInstanceOf(Class);
    expect(server.seen).toHaveLength(2);
  });

  test('never starts a command twice', async () => {
    await using server = await TestServer.start((_request, response) => {
      response.destroy();
    });
    await expect(execAt(server.url).run('rm x')).rejects.toBeInstanceOf(ConnectionError);
    expect(server.seen).toHaveLength(1);
  });

  test('an end with an error is an error that keeps the id', async () => {
    await using server = await TestServer.start(
      polled((_n, _request, response) => sendJson(response, 200, { ...ended, error: 'the guest broke' })),
    );
    await expect(execAt(server.url).run('sleep 1')).rejects.toMatchObject({
      code: 'exec_failed',
      details: { execId: 'abcd1234' },
      message: expect.stringContaining('the guest broke'),
    });
  });

  test('an answer that is neither handle nor result is an error', async () => {
    await using server = await TestServer.start((_request, response) => sendJson(response, 200, {}));
    await expect(execAt(server.url).run('true')).rejects.toBeInstanceOf(ServerError);
  });
});

describe('giving up', () => {
  const forever = polled((_n, _request, response) => sendJson(response, 200, running));

  test('timeoutMs throws an ExecTimeoutError with the id and names what to do', async () => {
    await using server = await TestServer.start(forever);
    const failure = execAt(server.url).run('sleep 9', { timeoutMs: 300 });
    await expect(failure).rejects.toBeInstanceOf(ExecTimeoutError);
    await expect(failure).rejects.toMatchObject({
      execId: 'abcd1234',
      message: expect.stringMatching(
        /timeoutMs \(300 ms\) has passed\. exec\.wait\('abcd1234'\).*raise timeoutMs/,
      ),
    });
  });

  test('timeoutMs 0 starts the command and does not wait', async () => {
    await using server = await TestServer.start(forever);
    await expect(execAt(server.url).run('sleep 9', { timeoutMs: 0 })).rejects.toMatchObject({
      execId: 'abcd1234',
    });
  });

  test('abort throws an ExecTimeoutError with the id and the reason, at once', async () => {
    // No answer ends the wait.
    await using server = await TestServer.start(polled(() => undefined));
    const controller = new AbortController();
    const failure = execAt(server.url).run('sleep 9', { signal: controller.signal, requestTimeoutMs: 0 });
    await expect.poll(() => server.seen.length).toBe(2);
    controller.abort(new Error('enough'));
    await expect(failure).rejects.toMatchObject({
      name: 'ExecTimeoutError',
      execId: 'abcd1234',
      cause: new Error('enough'),
    });
  });

  test('abort before the start sends nothing', async () => {
    await using server = await TestServer.start(forever);
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(execAt(server.url).run('true', { signal })).rejects.toBe(reason);
    await expect(execAt(server.url).wait('abcd1234', { signal })).rejects.toBe(reason);
    expect(server.seen).toHaveLength(0);
  });

  test('abort during the start still learns the id when it comes soon', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { promise: asked, resolve } = Promise.withResolvers<ServerResponse>();
    await using server = await TestServer.start((_request, response) => resolve(response));
    const controller = new AbortController();
    const failure = execAt(server.url).run('sleep 9', { signal: controller.signal });
    const response = await asked;
    controller.abort();
    vi.advanceTimersByTime(999);
    sendJson(response, 202, started);
    await expect(failure).rejects.toMatchObject({ name: 'ExecTimeoutError', execId: 'abcd1234' });
  });

  test('abort during the start ends within a second when the server does not answer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    await using server = await TestServer.start(() => undefined);
    const controller = new AbortController();
    const failure = execAt(server.url).run('sleep 9', { signal: controller.signal });
    await eventually('asked', () => server.seen.length === 1);
    controller.abort();
    vi.advanceTimersByTime(1000);
    await expect(failure).rejects.toMatchObject({ name: 'ExecTimeoutError', execId: undefined });
  });

  test.each([-1, Number.NaN])('timeoutMs %d is refused', async (timeoutMs) => {
    await using server = await TestServer.start(forever);
    await expect(execAt(server.url).run('true', { timeoutMs })).rejects.toThrow(/timeoutMs is not/);
    expect(server.seen).toHaveLength(0);
  });
});

describe('wait', () => {
  test('gets the result of a command that run gave up on', async () => {
    await using server = await TestServer.start(
      polled((n, _request, response) => sendJson(response, 200, n === 1 ? running : ended)),
    );
    expect(await execAt(server.url).wait('abcd1234')).toMatchObject({ exitCode: 3, stdout: 'out' });
    expect(server.seen.map(({ path }) => path)).toEqual([result, result]);
  });

  test('refuses what would be another route', async () => {
    await using server = await TestServer.start(() => undefined);
    await expect(execAt(server.url).wait('../..')).rejects.toMatchObject({ code: 'invalid_option' });
    expect(server.seen).toHaveLength(0);
  });
});
