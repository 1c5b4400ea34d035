import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from '@opencomputer/protocol';
import { describe, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { GuestChannel } from '../guest/index.ts';
import { readFile, writeFile } from '../guest/index.ts';
import { answerJson, type GuestHandler, guestSocket, startGuest } from '../guest/testing/guest-agent.ts';
import { quiet } from '../testing/log.ts';
import { failureOf, scratchDirectory, until } from '../testing/scratch.ts';
import { makeHttpServer } from './http.ts';
import { queryMilliseconds, readJson, sendEmpty, sendJson, tellsArrival } from './respond.ts';
import { makeRouter, type Routes } from './router.ts';

const mebibyte = 1024 * 1024;

/** Serves routes on a unix socket for the running test. @returns the socket's path, and what was logged */
async function serve(routes: Routes): Promise<{ socketPath: string; logged: unknown[] }> {
  const socketPath = join(await scratchDirectory(), 'worker.sock');
  const logged: unknown[] = [];
  const log = { ...quiet, error: (fields: unknown) => void logged.push(fields) };
  const server = makeHttpServer(routes, log);
  server.listen(socketPath);
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { socketPath, logged };
}

interface Answer {
  status: number;
  body: string;
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of response.setEncoding('utf8') as AsyncIterable<string>) text += part;
  return text;
}

async function call(
  socketPath: string,
  method: string,
  path: string,
  body?: string | Buffer,
  headers: OutgoingHttpHeaders = {},
): Promise<Answer> {
  // Calls as the server does: on a connection that is kept open.
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const request = httpRequest({ socketPath, method, path, headers, agent });
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  request.end(body);
  const [response] = await answered;
  return { status: response.statusCode ?? 0, body: await textOf(response) };
}

/** Sends bytes as they are. @returns all that came back until the other end closed */
async function raw(socketPath: string, text: string, options: { end?: boolean } = {}): Promise<string> {
  const socket = connect({ path: socketPath });
  socket.on('error', () => undefined);
  let answer = '';
  socket.on('data', (part: Buffer) => (answer += part.toString('latin1')));
  socket.write(text);
  if (options.end === true) socket.end();
  await once(socket, 'close');
  return answer;
}

const code = ({ body }: Answer): unknown => (JSON.parse(body) as { code: unknown }).code;
const schema = z.object({ count: z.number().int().min(1) });
const echo: Routes = {
  'POST /v1/machines/:id/exec': async ({ request, response, id }) =>
    sendJson(response, 200, { id, ...(await readJson(request, schema)) }),
  'GET /v1/machines/:id/exec/:execId': ({ response, url, execId }) =>
    sendJson(response, 200, { execId, wait: queryMilliseconds(url, 'waitMs') }),
  'DELETE /v1/machines/:id': ({ response }) => sendEmpty(response),
  'GET /v1/broken': () => {
    throw new Error('a secret of the worker');
  },
  'GET /v1/half': ({ response }) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('half');
    throw new Error('broke in the middle');
  },
  'GET /v1/refused': () => {
    throw new ApiError('no_capacity', 'full', { hint: 'less', details: { limit: 4 } });
  },
};

describe('routes', () => {
  const route = makeRouter(echo);
  const find = (method: string, path: string): unknown => {
    const { id, execId } = route(method, new URL(path, 'http://worker'));
    return [id, execId];
  };
  const refusal = (method: string, path: string): string => {
    try {
      find(method, path);
    } catch (error) {
      if (error instanceof ApiError) return error.code;
      throw error;
    }
    return 'found';
  };

  test('hand over the ids of the path', () => {
    expect(find('DELETE', '/v1/machines/sb-01234567')).toEqual(['sb-01234567', '']);
    expect(find('GET', '/v1/machines/sb-01234567/exec/0a1b2c3d?waitMs=5')).toEqual([
      'sb-01234567',
      '0a1b2c3d',
    ]);
  });

  test.each([
    'sb-0123456',
    'sb-012345678',
    'sb-0123456G',
    'SB-01234567',
    'sb-01234567%00',
    '..%2f..%2fetc',
    'sb-01234567%0a',
    '__proto__',
    'constructor',
    ':id',
    '%73b-01234567',
  ])('an id like %j is nobody’s', (id) => {
    expect(refusal('DELETE', `/v1/machines/${id}`)).toBe('sandbox_not_found');
  });

  test('a command that cannot be is not found, a route that is not there neither', () => {
    expect(refusal('GET', '/v1/machines/sb-01234567/exec/xyz')).toBe('exec_not_found');
    expect(refusal('GET', '/v1/machines/sb-01234567/exec/0A1B2C3D')).toBe('exec_not_found');
    for (const path of [
      '/',
      '/v1',
      '/v1/machines',
      '/v1/machines/sb-01234567/',
      '//v1/broken',
      '/v1/broken/',
      '/constructor',
    ])
      expect([path, refusal('DELETE', path)]).toEqual([path, 'not_found']);
    expect(refusal('PATCH', '/v1/machines/sb-01234567')).toBe('not_found');
    expect(refusal('toString', '/v1/broken')).toBe('not_found');
  });
});

describe('bodies and queries', () => {
  test('a good one is taken, whatever its pieces', async () => {
    const { socketPath } = await serve(echo);
    const path = '/v1/machines/sb-01234567/exec';
    expect(await call(socketPath, 'POST', path, '{"count":1,"more":2}')).toEqual({
      status: 200,
      body: '{"id":"sb-01234567","count":1}',
    });
    expect(
      (
        await raw(
          socketPath,
          `POST ${path} HTTP/1.1\r\nhost: w\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"c\r\n9\r\nount": 7}\r\n0\r\n\r\n`,
        )
      ).split('\r\n\r\n')[1],
    ).toContain('"count":7');
  });

  test.each([
    ['', 'invalid_json'],
    ['{', 'invalid_json'],
    ['{"count":1}}', 'invalid_json'],
    ['\0', 'invalid_json'],
    ['null', 'invalid_request'],
    ['[]', 'invalid_request'],
    ['{"count":"1"}', 'invalid_request'],
    ['{"count":0.5}', 'invalid_request'],
    ['{"__proto__":{"count":1}}', 'invalid_request'],
    ['['.repeat(100_000), 'invalid_json'],
  ])('%.40j is %s', async (body, expected) => {
    const { socketPath, logged } = await serve(echo);
    const answer = await call(socketPath, 'POST', '/v1/machines/sb-01234567/exec', body);
    expect([answer.status, code(answer)]).toEqual([400, expected]);
    expect(logged).toEqual([]);
  });

  test.each([14, 64])(
    'one of %i MB is refused with words that arrive, and the next call works',
    async (size) => {
      const { socketPath } = await serve(echo);
      const answer = await call(
        socketPath,
        'POST',
        '/v1/machines/sb-01234567/exec',
        Buffer.alloc(size * mebibyte, ' '),
      );
      expect([answer.status, code(answer)]).toEqual([413, 'too_large']);
      expect((await call(socketPath, 'DELETE', '/v1/machines/sb-01234567')).status).toBe(204);
    },
  );

  test('one that is cut off runs nothing and logs nothing', async () => {
    const { socketPath, logged } = await serve(echo);
    const head = 'POST /v1/machines/sb-01234567/exec HTTP/1.1\r\nhost: w\r\ncontent-length: 100\r\n\r\n';
    expect(await raw(socketPath, `${head}{"count":1}`, { end: true })).not.toContain('200 OK');
    expect((await call(socketPath, 'DELETE', '/v1/machines/sb-01234567')).status).toBe(204);
    expect(logged).toEqual([]);
  });

  test.each([
    ['', 0],
    ['?waitMs=0', 0],
    ['?waitMs=60000', 60_000],
    ['?waitMs=-1', undefined],
    ['?waitMs=1.5', undefined],
    ['?waitMs=x', undefined],
    ['?waitMs=Infinity', undefined],
    ['?waitMs=NaN', undefined],
  ])('a wait of %j', async (query, wait) => {
    const { socketPath } = await serve(echo);
    const answer = await call(socketPath, 'GET', `/v1/machines/sb-01234567/exec/0a1b2c3d${query}`);
    if (wait === undefined) expect([answer.status, code(answer)]).toEqual([400, 'invalid_request']);
    else expect(JSON.parse(answer.body)).toEqual({ execId: '0a1b2c3d', wait });
  });
});

describe('failures', () => {
  test('a refusal keeps its code, hint and details; a defect keeps its secrets, and is logged', async () => {
    const { socketPath, logged } = await serve(echo);
    expect(JSON.parse((await call(socketPath, 'GET', '/v1/refused')).body)).toEqual({
      error: 'full',
      code: 'no_capacity',
      hint: 'less',
      limit: 4,
    });
    expect(logged).toEqual([]);
    const broken = await call(socketPath, 'GET', '/v1/broken');
    expect([broken.status, code(broken)]).toEqual([500, 'internal']);
    expect(broken.body).not.toContain('secret');
    expect(logged).toHaveLength(1);
  });

  test('an answer that breaks in the middle is cut off', async () => {
    const { socketPath } = await serve(echo);
    expect(await failureOf(call(socketPath, 'GET', '/v1/half'))).toBeInstanceOf(Error);
  });

  test('an answer that breaks while the body still comes does not hurt the worker', async () => {
    const { socketPath } = await serve(echo);
    await raw(socketPath, 'GET /v1/half HTTP/1.1\r\nhost: w\r\ncontent-length: 10\r\n\r\nx');
    expect((await call(socketPath, 'DELETE', '/v1/machines/sb-01234567')).status).toBe(204);
  });

  test.each(['//', '///', 'http://', '*', 'http://[::1', '/v1/%', '/%ff', '\\\\', '/v1/machines?x=%E0%A4%A'])(
    'a target like %j does not hurt the worker',
    async (target) => {
      const { socketPath } = await serve(echo);
      const answer = await raw(socketPath, `GET ${target} HTTP/1.1\r\nhost: w\r\nconnection: close\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
      expect((await call(socketPath, 'DELETE', '/v1/machines/sb-01234567')).status).toBe(204);
    },
  );
});

describe('files through both hops', () => {
  /** The worker's HTTP in front of a guest. */
  async function files(handler: GuestHandler): Promise<string> {
    const path = await guestSocket();
    await startGuest(path, handler);
    const channel = new GuestChannel({ socketPath: path, identity: () => undefined });
    onTestFinished(() => channel.close());
    const { socketPath } = await serve({
      'PUT /file': async ({ request, response, signal }) => {
        await writeFile(channel, '/x', request, { length: undefined, signal });
        sendEmpty(response);
      },
      'GET /file': async ({ response, signal }) => {
        const { stream } = await readFile(channel, '/x', signal);
        response.writeHead(200);
        for await (const part of stream) if (!response.write(part)) await once(response, 'drain', { signal });
        response.end();
      },
    });
    return socketPath;
  }

  test('a large upload that the guest refuses at once gets the reason', async () => {
    const socketPath = await files(({ stream }) =>
      answerJson(stream, { error: { code: 'is_directory', message: '/x is a directory' } }, 409),
    );
    const answer = await call(socketPath, 'PUT', '/file', Buffer.alloc(32 * mebibyte));
    expect([answer.status, code(answer)]).toEqual([400, 'is_directory']);
  });

  test('an upload that its sender breaks off reaches the guest as broken', async () => {
    let end = '';
    let received = 0;
    const socketPath = await files(({ stream }) => {
      stream.on('aborted', () => (end = 'reset'));
      stream.on('end', () => (end ||= 'clean'));
      stream.on('data', (part: Buffer) => (received += part.length));
    });
    const socket = connect({ path: socketPath });
    socket.write('PUT /file HTTP/1.1\r\nhost: w\r\ncontent-length: 100\r\n\r\npart');
    await until(() => received === 4);
    socket.destroy();
    await until(() => end !== '');
    expect(end).toBe('reset');
  });

  test('a download whose reader goes away ends in the guest', async () => {
    let closed = false;
    const socketPath = await files(({ stream }) => {
      stream.on('close', () => (closed = true));
      stream.respond({ ':status': 200 });
      const pump = (): void => {
        while (!stream.destroyed && stream.write(Buffer.alloc(64 * 1024)));
        if (!stream.destroyed) stream.once('drain', pump);
      };
      pump();
    });
    const request = httpRequest({ socketPath, path: '/file', agent: false });
    request.on('error', () => undefined);
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    await once(response, 'data');
    request.destroy();
    await until(() => closed);
  });
});

describe('an answer that arrives for long', () => {
  /** A route that reads pieces of an answer until `last` says to stop. */
  const arriving = (last: (pieces: number) => boolean, ended: (error: unknown) => void): Routes => ({
    'GET /v1/worker': async ({ response, signal }) => {
      const arrives = tellsArrival(response, signal, 20);
      try {
        for (let pieces = 0; !last(pieces); pieces++) {
          arrives();
          // Real time: the pace of the pieces.
          await delay(5);
        }
      } catch (error) {
        ended(error);
        throw error;
      }
      sendEmpty(response);
    },
  });

  test('is announced meanwhile', async () => {
    let interim = 0;
    const { socketPath } = await serve(
      arriving(
        () => interim === 3,
        () => undefined,
      ),
    );
    const request = httpRequest({ socketPath, path: '/v1/worker' });
    request.on('information', ({ statusCode }) => (interim += statusCode === 102 ? 1 : 0));
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    request.end();
    const [response] = await answered;
    expect(response.statusCode).toBe(204);
    response.resume();
  });

  test('is not read on for a caller that is gone', async () => {
    const ended = Promise.withResolvers<unknown>();
    const { socketPath } = await serve(arriving(() => false, ended.resolve));
    const request = httpRequest({ socketPath, path: '/v1/worker' });
    request.on('error', () => undefined);
    request.once('information', () => request.destroy());
    request.end();
    expect(await ended.promise).toMatchObject({ message: 'the caller went away' });
  });
});
