import { eventually } from '@opencomputer/testing/eventually';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ConnectionError, ServerError, TimeoutError } from './errors.ts';
import { HttpClient } from './http.ts';
import { freePort, sendJson, TestServer } from './testing/http-server.ts';
import type { ApiRequest } from './http.ts';

const client = (url: string, requestTimeoutMs?: number): HttpClient =>
  new HttpClient({ apiUrl: `${url}/api`, apiKey: 'osb_key', requestTimeoutMs });
const get: ApiRequest = { method: 'GET', path: '/thing' };
const post: ApiRequest = { method: 'POST', path: '/thing', json: { a: 1 } };

describe('a request', () => {
  test('carries key, path, query and JSON', async () => {
    await using server = await TestServer.start((_request, response) => sendJson(response, 200, { ok: 1 }));
    const answer = await client(server.url).json({ ...post, query: { path: 'a b&/ü', none: undefined } });
    expect(answer).toEqual({ ok: 1 });
    const [seen] = server.seen;
    expect(seen).toMatchObject({ method: 'POST', path: '/api/thing' });
    expect([...(seen?.query ?? [])]).toEqual([['path', 'a b&/ü']]);
    expect(seen?.headers).toMatchObject({ 'x-api-key': 'osb_key', 'content-type': 'application/json' });
    expect(JSON.parse(String(seen?.body))).toEqual({ a: 1 });
  });

  test('sends no key when there is none', async () => {
    await using server = await TestServer.start((_request, response) => sendJson(response, 200, {}));
    await new HttpClient({ apiUrl: server.url, apiKey: '', requestTimeoutMs: undefined }).json(get);
    expect(server.seen[0]?.headers).not.toHaveProperty('x-api-key');
  });

  test('refuses half of a surrogate pair instead of naming another file', async () => {
    await using server = await TestServer.start((_request, response) => sendJson(response, 200, {}));
    await expect(client(server.url).json({ ...get, query: { path: 'a\ud800' } })).rejects.toMatchObject({
      code: 'invalid_option',
    });
    expect(server.seen).toHaveLength(0);
  });

  test('does not follow a redirect with the key', async () => {
    await using target = await TestServer.start((_request, response) => sendJson(response, 200, {}));
    await using server = await TestServer.start((_request, response) =>
      response.writeHead(307, { location: `${target.url}/api/thing` }).end(),
    );
    await expect(client(server.url).json(get)).rejects.toThrow(`redirects to ${target.url}/api/thing`);
    expect(target.seen).toHaveLength(0);
  });

  test.each(['<html>hello</html>', '', '"text"', 'null'])('calls %j nonsense', async (body) => {
    await using server = await TestServer.start((_request, response) => response.writeHead(200).end(body));
    const failure = client(server.url).json(get);
    await expect(failure).rejects.toBeInstanceOf(ServerError);
    await expect(failure).rejects.toMatchObject({ code: 'unexpected_answer' });
  });

  test('reads JSON after white space', async () => {
    await using server = await TestServer.start((_request, response) => {
      response.writeHead(200).write('   ');
      response.end('{"ok":1}');
    });
    expect(await client(server.url).json(get)).toEqual({ ok: 1 });
  });

  test('fifty at once all succeed, and later ones reuse their connections', async () => {
    await using server = await TestServer.start((request, response) =>
      sendJson(response, 200, { n: request.query.get('n') }),
    );
    const http = client(server.url);
    const round = () =>
      Promise.all(Array.from({ length: 50 }, (_, n) => http.json({ ...get, query: { n: String(n) } })));
    expect(await round()).toEqual(Array.from({ length: 50 }, (_, n) => ({ n: String(n) })));
    expect(await round()).toHaveLength(50);
    expect(server.connections).toBeLessThan(100);
  });
});

describe('limits', () => {
  test('a server that does not answer is a TimeoutError that names the option', async () => {
    await using server = await TestServer.start(() => undefined);
    const failure = client(server.url, 500).json(get);
    await expect(failure).rejects.toBeInstanceOf(TimeoutError);
    await expect(failure).rejects.toThrow(/after 500 ms\. Raise requestTimeoutMs/);
    expect(server.seen).toHaveLength(1);
  });

  test('an answer that stops in the middle is a TimeoutError too', async () => {
    await using server = await TestServer.start((_request, response) => {
      response.writeHead(200).write('{"a":');
    });
    await expect(client(server.url, 100).json(get)).rejects.toMatchObject({ code: 'request_timeout' });
  });

  test('the option of the call wins; 0 means none; nonsense is refused', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const answers: (() => void)[] = [];
    await using server = await TestServer.start((_request, response) => {
      answers.push(() => sendJson(response, 200, {}));
    });
    const http = client(server.url, 10);
    /** A call whose answer comes when this time has passed. */
    const answeredAfter = async (ms: number, call: Promise<unknown>): Promise<unknown> => {
      const asked = answers.length;
      const answered = call.catch((error: unknown) => error);
      await eventually('asked', () => answers.length === asked + 1);
      vi.advanceTimersByTime(ms);
      answers.at(-1)?.();
      return answered;
    };
    expect(await answeredAfter(10, http.json(get))).toBeInstanceOf(TimeoutError);
    expect(await answeredAfter(4999, http.json({ ...get, requestTimeoutMs: 5000 }))).toEqual({});
    expect(await answeredAfter(100_000, http.json({ ...get, requestTimeoutMs: 0 }))).toEqual({});
    await expect(http.json({ ...get, requestTimeoutMs: -1 })).rejects.toThrow(/requestTimeoutMs/);
  });

  test('abort rejects with the reason, before and during the request', async () => {
    await using server = await TestServer.start(() => undefined);
    const reason = new Error('enough');
    await expect(client(server.url).json({ ...get, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(server.seen).toHaveLength(0);
    const controller = new AbortController();
    const failure = client(server.url).json({ ...get, signal: controller.signal });
    await expect.poll(() => server.seen.length).toBe(1);
    controller.abort(reason);
    await expect(failure).rejects.toBe(reason);
  });
});

describe('retries', () => {
  const unavailable = { error: 'away', code: 'worker_unavailable' };

  test('GET and DELETE come back after 503 with Retry-After', async () => {
    await using server = await TestServer.start((_request, response) => {
      if (server.seen.length === 1) sendJson(response, 503, unavailable, { 'retry-after': '0' });
      else sendJson(response, 200, { ok: 1 });
    });
    expect(await client(server.url).json(get)).toEqual({ ok: 1 });
    expect(server.seen).toHaveLength(2);
    server.seen.length = 0;
    await client(server.url).done({ ...get, method: 'DELETE' });
    expect(server.seen).toHaveLength(2);
  });

  test.each([
    ['a POST', post, { 'retry-after': '0' }],
    ['a GET without Retry-After', get, {}],
    ['a GET that should wait too long', get, { 'retry-after': '60' }],
    ['a GET whose caller repeats itself', { ...get, retry: false }, { 'retry-after': '0' }],
  ] as const)('%s does not', async (_name, request, headers) => {
    await using server = await TestServer.start((_request, response) =>
      sendJson(response, 503, unavailable, headers),
    );
    await expect(client(server.url).json(request)).rejects.toBeInstanceOf(ServerError);
    expect(server.seen).toHaveLength(1);
  });

  test('they end after three attempts', async () => {
    await using server = await TestServer.start((_request, response) =>
      sendJson(response, 503, unavailable, { 'retry-after': '0' }),
    );
    await expect(client(server.url).json(get)).rejects.toBeInstanceOf(ServerError);
    expect(server.seen).toHaveLength(3);
  });

  test('a GET whose connection broke is sent again, a POST is not', async () => {
    await using server = await TestServer.start((_request, response) => {
      response.destroy();
    });
    await expect(client(server.url).json(get)).rejects.toBeInstanceOf(ConnectionError);
    expect(server.seen).toHaveLength(3);
    server.seen.length = 0;
    await expect(client(server.url).json(post)).rejects.toMatchObject({ requestSent: true });
    expect(server.seen).toHaveLength(1);
  });

  test('a POST waits for a server that is just starting', async () => {
    // The pause after an attempt ends when the test lets it.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const attempts = vi.spyOn(globalThis, 'fetch');
    onTestFinished(() => {
      vi.useRealTimers();
      attempts.mockRestore();
    });
    const port = await freePort();
    const pending = client(`http://127.0.0.1:${port}`).json(post);
    await eventually('refused', () => attempts.mock.settledResults[0]?.type === 'rejected');
    await using server = await TestServer.start((_request, response) => sendJson(response, 200, {}), port);
    await vi.advanceTimersByTimeAsync(100);
    await pending;
    expect(server.seen).toHaveLength(1);
  });

  test('nobody there: says what was dialled and what to do', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    await expect(client(url).json(post)).rejects.toThrow(
      `cannot connect to ${url} (connect ECONNREFUSED ${url.slice(7)}). Start the server there, or set apiUrl`,
    );
  });

  test('abort ends the pause between attempts', async () => {
    await using server = await TestServer.start((_request, response) =>
      sendJson(response, 503, unavailable, { 'retry-after': '5' }),
    );
    const signal = AbortSignal.timeout(100);
    await expect(client(server.url).json({ ...get, signal })).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(signal.aborted).toBe(true);
    expect(server.seen).toHaveLength(1);
  });
});
