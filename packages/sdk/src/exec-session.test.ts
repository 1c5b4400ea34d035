import { WebSocket as WsWebSocket } from 'ws';
import { standstill } from '@opencomputer/testing/standstill';
import { describe, expect, test } from 'vitest';
import { ConnectionError, InvalidRequestError, LimitError, NotFoundError, ServerError } from './errors.ts';
import { ExecSession } from './exec-session.ts';
import { sendJson } from './testing/http-server.ts';
import { SessionServer } from './testing/session-server.ts';
import type { ExecAttachOptions } from './exec-session.ts';
import type { WebSocketFactory } from './connection/socket.ts';

const ofPackage: WebSocketFactory = (url, options) => new WsWebSocket(url, options);
const kinds: [string, WebSocketFactory | undefined][] = [
  ['the global WebSocket', undefined],
  ['the WebSocket of ws', ofPackage],
];

/** Collects the callbacks of a session. */
function recorder(): ExecAttachOptions & { stdout: string; stderr: string; events: string[] } {
  const seen = {
    stdout: '',
    stderr: '',
    events: [] as string[],
    onStdout: (data: Uint8Array) => {
      seen.stdout += Buffer.from(data).toString('latin1');
    },
    onStderr: (data: Uint8Array) => {
      seen.stderr += Buffer.from(data).toString('latin1');
    },
    onScrollbackEnd: () => seen.events.push('end of scrollback'),
    onExit: (code: number) => seen.events.push(`exit ${code}`),
    onGap: (bytes: number) => seen.events.push(`gap ${bytes}`),
    onDisconnect: () => seen.events.push('disconnected'),
    onReconnect: () => seen.events.push('reconnected'),
    onHibernate: () => seen.events.push('hibernates'),
    onWake: () => seen.events.push('wakes'),
  };
  return seen;
}

const open = (server: SessionServer, options: ExecAttachOptions = {}, factory?: WebSocketFactory) =>
  ExecSession.open(server.api({ webSocket: factory }), 'abcd1234', options);

describe.each(kinds)('with %s', (_name, factory) => {
  test('replays, goes on live, and ends with the exit code', async () => {
    await using server = await SessionServer.start();
    server.session.print('before ');
    const seen = recorder();
    const session = await open(server, seen, factory);
    server.session.print('oops', 2);
    server.session.print('after');
    server.session.exit(7);
    expect(await session.done).toBe(7);
    expect(seen).toMatchObject({ stdout: 'before after', stderr: 'oops' });
    expect(seen.events).toEqual(['end of scrollback', 'exit 7']);
    expect(session.offset).toBe('before oopsafter'.length);
  });

  test('reports hibernation and wake', async () => {
    await using server = await SessionServer.start();
    const seen = recorder();
    const session = await open(server, seen, factory);
    server.session.power(false);
    server.session.power(true);
    server.session.print('on');
    server.session.exit(0);
    expect(await session.done).toBe(0);
    expect(seen.events).toEqual(['end of scrollback', 'hibernates', 'wakes', 'exit 0']);
    expect(seen.stdout).toBe('on');
  });

  test('says who it is in a header, not in the URL', async () => {
    await using server = await SessionServer.start();
    (await open(server, {}, factory)).close();
    const [attach] = server.attaches;
    expect(attach?.path).toBe('/api/sandboxes/sb-1/exec/abcd1234');
    expect(attach?.headers['x-api-key']).toBe('osb_key');
    expect([...(attach?.query.keys() ?? [])].toSorted()).toEqual(['client', 'from']);
  });

  test('output that comes with the answer to the upgrade waits for the caller', async () => {
    await using server = await SessionServer.start();
    server.session.print('at once');
    server.session.exit(0);
    let session: ExecSession | undefined;
    const seen: boolean[] = [];
    session = await open(server, { onStdout: () => seen.push(session !== undefined) }, factory);
    await session.done;
    expect(seen).toEqual([true]);
  });

  test('a connection that is cut is restored with nothing lost or repeated, both ways', async () => {
    await using server = await SessionServer.start();
    const seen = recorder();
    const session = await open(server, seen, factory);
    let printed = '';
    const sent: Promise<void>[] = [];
    let input = '';
    for (let round = 0; round < 5; round += 1) {
      for (let line = 0; line < 20; line += 1) {
        const text = `${round}.${line}\n`;
        printed += text;
        server.session.print(text);
        input += text;
        sent.push(session.sendStdin(text));
      }
      await expect.poll(() => server.session.attached).toBe(1);
      server.session.cut();
      server.session.print(`while away ${round}\n`);
      printed += `while away ${round}\n`;
      const losses = () => seen.events.filter((event) => event === 'disconnected').length;
      await expect.poll(losses).toBe(round + 1);
    }
    sent.push(session.closeStdin());
    await Promise.all(sent);
    await expect.poll(() => seen.stdout.length).toBe(printed.length);
    server.session.exit(0);
    await session.done;
    expect(seen.stdout).toBe(printed);
    expect(String(server.session.stdin)).toBe(input);
    await expect.poll(() => server.session.stdinEnds).toBeGreaterThan(0);
    expect(seen.events.filter((event) => event === 'end of scrollback')).toHaveLength(1);
    expect(seen.events.filter((event) => event.startsWith('gap'))).toEqual([]);
    expect(new Set(server.attaches.map(({ query }) => query.get('client'))).size).toBe(1);
  });

  test('input that was on its way when the connection broke is sent again, once', async () => {
    await using server = await SessionServer.start();
    const session = await open(server, {}, factory);
    await session.sendStdin('taken ');
    server.session.reads = false;
    const pending = session.sendStdin('lost on the way');
    server.session.print('sync');
    await expect.poll(() => session.offset).toBe(4);
    server.session.cut();
    server.session.reads = true;
    await pending;
    expect(String(server.session.stdin)).toBe('taken lost on the way');
    session.close();
  });

  test('a server that restarts is waited for', async () => {
    const first = await SessionServer.start();
    const seen = recorder();
    const session = await open(first, seen, factory);
    first.session.print('one ');
    await expect.poll(() => seen.stdout).toBe('one ');
    const { port, session: behind } = first;
    await first[Symbol.asyncDispose]();
    behind.print('two ');
    await expect.poll(() => seen.events).toContain('disconnected');
    await using again = await SessionServer.start({ port, session: behind });
    again.session.print('three');
    await expect.poll(() => seen.stdout).toBe('one two three');
    again.session.exit(0);
    expect(await session.done).toBe(0);
    expect(seen.events).toContain('reconnected');
  });

  test('a gap is reported where it is', async () => {
    await using server = await SessionServer.start();
    const seen = recorder();
    const session = await open(server, seen, factory);
    server.session.print('abc');
    await expect.poll(() => seen.stdout).toBe('abc');
    server.session.cut();
    server.session.print('0123456789');
    server.session.forget(8);
    await expect.poll(() => seen.stdout).toBe('abc56789');
    expect(seen.events).toContain('gap 5');
    expect(session.offset).toBe(13);
    session.close();
  });

  test('iterates the output in order', async () => {
    await using server = await SessionServer.start();
    server.session.print('a');
    const session = await open(server, {}, factory);
    server.session.print('b', 2);
    server.session.print('c');
    server.session.exit(0);
    await session.done;
    const seen: string[] = [];
    for await (const { stream, data } of session) seen.push(`${stream} ${Buffer.from(data).toString()}`);
    expect(seen).toEqual(['stdout a', 'stderr b', 'stdout c']);
  });

  test.each([
    [404, 'exec_not_found', NotFoundError],
    [401, 'unauthorized', Error],
  ])('a refusal with %i is reported as what it is', async (status, code, Class) => {
    await using server = await SessionServer.start({
      refuse: () => ({ status, body: { error: 'no', code } }),
      handle: (_request, response) => sendJson(response, status, { error: 'no', code }),
    });
    const failure = open(server, {}, factory);
    await expect(failure).rejects.toBeInstanceOf(Class);
    await expect(failure).rejects.toMatchObject({ code, status });
  });

  test('close detaches from the command', async () => {
    await using server = await SessionServer.start();
    const seen = recorder();
    const session = await open(server, seen, factory);
    session.close();
    session.close();
    expect(await session.done).toBe(-1);
    await expect.poll(() => server.session.attached).toBe(0);
    server.session.print('unheard');
    expect(seen.events).toEqual(['exit -1']);
    await expect(session.sendStdin('x')).rejects.toMatchObject({ code: 'session_ended' });
  });
});

describe('a server that misbehaves', () => {
  test('text, empty messages and unknown frames are ignored', async () => {
    await using server = await SessionServer.start({
      serve: (socket) => {
        for (const message of ['text', Buffer.alloc(0), Buffer.of(99, 1, 2), Buffer.of(1), Buffer.of(4)])
          socket.send(message);
        socket.send(Buffer.from('\x01out'));
        socket.send(Buffer.of(3, 0, 0, 0, 5));
        return true;
      },
    });
    const seen = recorder();
    const session = await open(server, seen);
    expect(await session.done).toBe(5);
    expect(seen.stdout).toBe('out');
  });

  test('a frame that breaks the protocol is an error, at once', async () => {
    await using server = await SessionServer.start({
      serve: (socket) => {
        socket.send(Buffer.of(6, 1, 2));
        return true;
      },
    });
    const session = await open(server);
    await expect(session.done).rejects.toBeInstanceOf(ServerError);
    await expect(session.done).rejects.toMatchObject({ code: 'unexpected_answer' });
  });

  test('an exit without a code counts as 0', async () => {
    await using server = await SessionServer.start({
      serve: (socket) => {
        socket.send(Buffer.of(3));
        return true;
      },
    });
    expect(await (await open(server)).done).toBe(0);
  });

  test('a server that sends no offsets is used until the connection is lost', async () => {
    await using server = await SessionServer.start({
      serve: (socket, _attempt, _query) => {
        socket.send(Buffer.of(4));
        socket.on('message', (message: Buffer) => {
          socket.send(Buffer.concat([Buffer.of(1), message.subarray(1)]));
          if (String(message.subarray(1)) === 'bye') socket.close(1011, 'it broke');
        });
        return true;
      },
    });
    const seen = recorder();
    const session = await open(server, seen);
    await session.sendStdin('hello ');
    await session.sendStdin('bye');
    await expect(session.done).rejects.toMatchObject({
      code: 'connection_lost',
      message: expect.stringContaining('1011: it broke'),
    });
    expect(seen.stdout).toBe('hello bye');
    expect(seen.events).toEqual(['end of scrollback', 'exit -1']);
  });

  test('one that ends every connection is given up after the time that was set', async () => {
    await using server = await SessionServer.start({
      serve: (socket, attempt) => {
        if (attempt > 1) socket.close(1012, 'restarting');
        return attempt > 1;
      },
    });
    const session = await open(server, { reconnect: { timeoutMs: 500, maxDelayMs: 50 } });
    server.session.cut();
    await expect(session.done).rejects.toBeInstanceOf(ConnectionError);
    await expect(session.done).rejects.toMatchObject({
      code: 'connection_lost',
      details: { sessionId: 'abcd1234', offset: 0 },
    });
    expect(server.attaches.length).toBeGreaterThan(3);
    await expect(session.sendStdin('x')).rejects.toBeInstanceOf(ConnectionError);
  });

  test('one that lets in and drops at once is given up too', async () => {
    await using server = await SessionServer.start({
      serve: (socket, attempt, query) => {
        if (attempt === 1) return false;
        server.session.attach(socket, query);
        // It has all that was sent once it has answered.
        socket.once('pong', () => socket.terminate());
        socket.ping();
        return true;
      },
    });
    const session = await open(server, { reconnect: { timeoutMs: 500, maxDelayMs: 50 } });
    server.session.cut();
    await expect(session.done).rejects.toBeInstanceOf(ConnectionError);
  });

  test('a session that is gone after a loss is a typed error', async () => {
    let gone = false;
    const refusal = { error: 'the sandbox was restored', code: 'exec_not_found' };
    await using server = await SessionServer.start({
      refuse: () => (gone ? { status: 404, body: refusal } : undefined),
      handle: (_request, response) => sendJson(response, gone ? 404 : 200, refusal),
    });
    const session = await open(server);
    gone = true;
    server.session.cut();
    await expect(session.done).rejects.toBeInstanceOf(NotFoundError);
  });

  test('what the server refuses is not sent again', async () => {
    await using server = await SessionServer.start({
      serve: (socket, _attempt, query) => {
        server.session.attach(socket, query);
        socket.on('message', () => socket.close(1008, 'the session takes no input'));
        return true;
      },
    });
    server.session.reads = false;
    const session = await open(server);
    await expect(session.sendStdin('x')).rejects.toThrow(/takes no input/);
    await expect(session.done).rejects.toBeInstanceOf(InvalidRequestError);
    await expect(session.done).rejects.toThrow(/takes no input/);
    expect(server.attaches).toHaveLength(1);
  });

  test('one that does not wait for a slow reader is gone back to', async () => {
    await using server = await SessionServer.start();
    const seen = recorder();
    const session = await open(server, seen);
    server.session.close(1013, 'the client has read nothing for 60 s');
    server.session.print('more');
    await expect.poll(() => seen.stdout).toBe('more');
    session.close();
  });

  test('reconnect false: a loss is the end', async () => {
    await using server = await SessionServer.start();
    const session = await open(server, { reconnect: false });
    server.session.cut();
    await expect(session.done).rejects.toBeInstanceOf(ConnectionError);
    expect(server.attaches).toHaveLength(1);
  });

  test('one that lets in and says nothing runs into the time limit', async () => {
    await using server = await SessionServer.start({ serve: () => true });
    await expect(open(server, { requestTimeoutMs: 200 })).rejects.toMatchObject({ code: 'request_timeout' });
  });

  test('a proxy that passes no upgrade is named', async () => {
    await using server = await SessionServer.start({
      refuse: () => ({ status: 400, body: { error: 'no upgrades here' } }),
    });
    await expect(open(server)).rejects.toThrow(/proxy on the way must let WebSocket upgrades pass/);
    await expect(open(server, { from: 7 })).rejects.toThrow(/from \(7\) is beyond all that was printed/);
  });

  test('nobody there is a ConnectionError', async () => {
    const server = await SessionServer.start();
    const api = server.api();
    await server[Symbol.asyncDispose]();
    await expect(ExecSession.open(api, 'abcd1234', {})).rejects.toMatchObject({
      code: 'connection_failed',
      requestSent: false,
    });
  });
});

describe('the caller', () => {
  test('may abort before and after', async () => {
    await using server = await SessionServer.start();
    const reason = new Error('enough');
    await expect(open(server, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const seen = recorder();
    const session = await open(server, { ...seen, signal: controller.signal });
    controller.abort(reason);
    await expect(session.done).rejects.toBe(reason);
    await expect.poll(() => server.session.attached).toBe(0);
  });

  test('that leaves the loop hears nothing more, and the command is not held back', async () => {
    await using server = await SessionServer.start();
    const session = await open(server, {}, ofPackage);
    server.session.print('x');
    for await (const { data } of session) {
      expect(data).toHaveLength(1);
      break;
    }
    for (let piece = 0; piece < 64; piece += 1) server.session.print(new Uint8Array(64 * 1024));
    server.session.exit(0);
    expect(await session.done).toBe(0);
  });

  test('that is slow makes a socket of ws wait, and gets everything', async () => {
    await using server = await SessionServer.start();
    const session = await open(server, {}, ofPackage);
    const pieces = 256;
    for (let piece = 0; piece < pieces; piece += 1)
      server.session.print(new Uint8Array(64 * 1024).fill(piece));
    let next = 0;
    for await (const { data } of session) {
      expect(data[0]).toBe(next % 256);
      next += 1;
      // Only little is received before it is read.
      expect(session.offset - next * 64 * 1024).toBeLessThan(4 * 1024 * 1024);
      if (next % 16 === 0) await standstill(() => session.offset, 100);
      if (next === pieces) server.session.exit(0);
    }
    expect(next).toBe(pieces);
  });

  test('that iterates late has the newest output, and hears of the rest', async () => {
    await using server = await SessionServer.start();
    let missing = 0;
    const session = await open(server, { onGap: (bytes) => (missing += bytes) });
    for (let piece = 0; piece < 32; piece += 1) server.session.print(new Uint8Array(64 * 1024).fill(piece));
    server.session.exit(0);
    await session.done;
    let size = 0;
    for await (const { data } of session) size += data.byteLength;
    expect(size).toBe(1024 * 1024);
    expect(missing).toBe(1024 * 1024);
  });

  test('cannot pile up input without end', async () => {
    await using server = await SessionServer.start();
    server.session.reads = false;
    const session = await open(server);
    const piece = new Uint8Array(4 * 1024 * 1024);
    const sent = Array.from({ length: 4 }, () => session.sendStdin(piece));
    await expect(session.sendStdin('one too many')).rejects.toBeInstanceOf(LimitError);
    session.close();
    for (const outcome of await Promise.allSettled(sent)) expect(outcome.status).toBe('rejected');
  });

  test('sends a lot of input in order when each piece is awaited', async () => {
    await using server = await SessionServer.start();
    const session = await open(server);
    const sent: Buffer[] = [];
    for (let piece = 0; piece < 40; piece += 1) {
      const data = Buffer.alloc(200_000, piece);
      sent.push(data);
      await session.sendStdin(data);
    }
    expect(server.session.stdin.equals(Buffer.concat(sent))).toBe(true);
    session.close();
  });

  test.each([-1, 0.5, Number.NaN])('from %d is refused', async (from) => {
    await using server = await SessionServer.start();
    await expect(open(server, { from })).rejects.toMatchObject({ code: 'invalid_option' });
    expect(server.attaches).toHaveLength(0);
  });

  test('an id that would be another route is refused', async () => {
    await using server = await SessionServer.start();
    await expect(ExecSession.open(server.api(), '../x', {})).rejects.toMatchObject({
      code: 'invalid_option',
    });
  });

  test('a callback that throws stops nothing', async () => {
    await using server = await SessionServer.start();
    const thrown: unknown[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => thrown.push(error));
    try {
      const session = await open(server, {
        onStdout: () => {
          throw new Error('of the caller');
        },
      });
      server.session.print('a');
      server.session.exit(3);
      expect(await session.done).toBe(3);
      await expect.poll(() => thrown).toEqual([new Error('of the caller')]);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });
});
