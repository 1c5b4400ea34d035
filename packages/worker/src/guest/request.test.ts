import { ApiError, type GuestExecRequest, type ListedFile } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { failureOf, until } from '../testing/scratch.ts';
import type { GuestChannel } from './channel.ts';
import { commandResult, signalCommand, startCommand } from './exec.ts';
import { listDirectory, makeDirectory, removePath, statPath } from './files.ts';
import { listSessions } from './sessions.ts';
import { begin, callJson } from './request.ts';
import { guestStats, quiesceGuest } from './system.ts';
import {
  answerJson,
  type GuestHandler,
  guestSocket,
  openChannel,
  startGuest,
} from './testing/guest-agent.ts';
import { z } from 'zod';

const mebibyte = 1024 * 1024;

const result = {
  id: '0123abcd',
  running: false,
  exitCode: 0,
  signal: null,
  timedOut: false,
  truncated: false,
  stdout: 'aGk=',
  stderr: '',
  startedAt: '2026-01-01T00:00:00Z',
  durationMs: 1,
};
const entry = {
  name: 'a',
  path: '/a',
  type: 'file',
  isDir: false,
  size: 1,
  mode: '0644',
  uid: 1000,
  gid: 1000,
  modifiedAt: '2026-01-01T00:00:00Z',
};
const { path: _known, ...listed } = entry;
const stats = {
  memoryTotalBytes: 1,
  memoryAvailableBytes: 1,
  diskTotalBytes: 1,
  diskFreeBytes: 1,
  load1: 0.5,
  processes: 1,
  uptimeMs: 1,
};
const request: GuestExecRequest = { id: '0123abcd', argv: ['true'] };

/** All of a directory at once. */
async function list(channel: GuestChannel): Promise<{ entries: ListedFile[]; truncated: boolean }> {
  const { entries, truncated } = await listDirectory(channel, '/', new AbortController().signal);
  const all: ListedFile[] = [];
  for await (const some of entries) all.push(...some);
  return { entries: all, truncated };
}

/** A channel to a guest whose answers the test can change. */
async function lyingGuest(): Promise<{ channel: GuestChannel; answer: (handler: GuestHandler) => void }> {
  const path = await guestSocket();
  let current: GuestHandler = () => undefined;
  await startGuest(path, (call) => current(call));
  return { channel: openChannel(path), answer: (handler) => (current = handler) };
}

async function refusal(promise: Promise<unknown>): Promise<ApiError> {
  const error = await failureOf(promise);
  if (!(error instanceof ApiError)) throw error;
  return error;
}

describe('an answer with one lie in it is refused, and the next honest one is taken', () => {
  const words = [undefined, null, 1, true, [], {}];
  const counts = [undefined, null, -1, '1', true, [], {}];
  const wholeCounts = [...counts, 1.5, Number.MAX_VALUE];
  const flags = [undefined, null, 0, 'false', [], {}];
  const calls: [
    string,
    (channel: GuestChannel) => Promise<unknown>,
    Record<string, unknown>,
    Record<string, unknown[]>,
  ][] = [
    [
      'command',
      (channel) => startCommand(channel, request),
      result,
      {
        id: [...words, '', '0123abc', '0123ABCD', '0123abcd\n', '../../etc', 'ffffffff'],
        running: flags,
        exitCode: [undefined, '0', 0.5, 2 ** 31, -(2 ** 31) - 1, [], {}],
        signal: ['9', -1, 129, 1.5, []],
        timedOut: flags,
        truncated: flags,
        stdout: [...words, '%', 'a', 'aGk', 'aGk=\n', 'a Gk=', 'aG-_', 'é'],
        stderr: [...words, '====', '=aGk'],
        startedAt: [...words, 'x'.repeat(65)],
        durationMs: counts,
      },
    ],
    [
      'result',
      (channel) => commandResult(channel, '0123abcd', 10),
      result,
      { id: ['ffffffff', 1], stdout: ['%'] },
    ],
    [
      'stat',
      (channel) => statPath(channel, '/a'),
      entry,
      {
        name: [...words, 'n'.repeat(4097)],
        path: [...words, 'p'.repeat(8193)],
        type: [...words, 'fifo', ''],
        isDir: flags,
        size: wholeCounts,
        mode: [...words, '000000644'],
        uid: wholeCounts,
        gid: wholeCounts,
        modifiedAt: [...words, 'x'.repeat(65)],
      },
    ],
    [
      'list',
      list,
      { entries: [listed], truncated: false },
      {
        entries: [undefined, null, {}, '', [null], [[]], [{ ...listed, size: -1 }], [listed, {}]],
        truncated: flags,
      },
    ],
    [
      'statistics',
      guestStats,
      stats,
      Object.fromEntries(
        Object.keys(stats).map((field) => [field, field === 'processes' ? wholeCounts : counts]),
      ),
    ],
  ];
  for (const [name, call, truth, lies] of calls)
    test(name, async () => {
      const { channel, answer } = await lyingGuest();
      for (const [field, values] of Object.entries(lies))
        for (const lie of values) {
          answer(({ stream }) => answerJson(stream, { ...truth, [field]: lie }));
          expect([field, lie, (await refusal(call(channel))).code]).toEqual([field, lie, 'guest_failed']);
        }
      // An unknown field is allowed: a newer guest agent may report more.
      answer(({ stream }) => answerJson(stream, { ...truth, more: 'later' }));
      expect(await call(channel)).toEqual(truth);
    });
});

describe('answers of another kind', () => {
  const respond =
    (status: number, body: string | Buffer): GuestHandler =>
    ({ stream }) => {
      stream.respond({ ':status': status });
      stream.end(body);
    };
  const kinds: [string, GuestHandler][] = [
    ['nothing', respond(200, '')],
    ['no content', respond(204, '')],
    ['half a JSON object', respond(200, '{"id":')],
    ['deeply nested lists', respond(200, '['.repeat(500_000))],
    ['deeply nested lists that end', respond(200, '['.repeat(400_000) + ']'.repeat(400_000))],
    ['bytes that are no text', respond(200, Buffer.alloc(1000, 0xff))],
    ['a string', respond(200, '"ok"')],
    ['a prototype', respond(200, '{"__proto__":{"memoryTotalBytes":1}}')],
    ['a redirect', respond(302, '{}')],
    ['an error that is no JSON', respond(500, 'oops')],
    ['an error without a code', respond(400, '{"error":{"message":"x"}}')],
    ['an error that is a number', respond(400, '{"error":7}')],
    ['an unknown error', respond(400, '{"error":{"code":"constructor","message":"x"}}')],
    [
      'an error that is too long',
      respond(400, JSON.stringify({ error: { code: 'x', message: 'y'.repeat(20_000) } })),
    ],
    ['a status that is none', respond(999, '{}')],
  ];
  test.each(kinds)('%s', async (_name, handler) => {
    const { channel, answer } = await lyingGuest();
    answer(handler);
    expect((await refusal(guestStats(channel))).code).toBe('guest_failed');
    answer(({ stream }) => answerJson(stream, stats));
    expect(await guestStats(channel)).toEqual(stats);
  });

  test.each([
    ['not_found', 'file_not_found'],
    ['is_directory', 'is_directory'],
    ['not_directory', 'not_directory'],
    ['not_regular', 'not_regular_file'],
    ['not_permitted', 'forbidden'],
    ['invalid_path', 'invalid_path'],
    ['no_space', 'no_space'],
    ['start_failed', 'command_not_started'],
    ['too_many_sessions', 'too_many_commands'],
    ['too_large', 'too_large'],
    ['ended', 'session_ended'],
    ['not_terminal', 'not_terminal'],
    ['invalid_offset', 'invalid_request'],
    ['quiesced', 'guest_failed'],
    ['toString', 'guest_failed'],
    ['__proto__', 'guest_failed'],
  ])('the agent’s %s is our %s', async (code, expected) => {
    const { channel, answer } = await lyingGuest();
    answer(({ stream }) => answerJson(stream, { error: { code, message: 'm'.repeat(2000) } }, 409));
    const error = await refusal(statPath(channel, '/a'));
    expect(error.code).toBe(expected);
    expect(error.message).toBe('m'.repeat(1000));
  });

  test('what is not found depends on what was looked for', async () => {
    const { channel, answer } = await lyingGuest();
    answer(({ stream }) => answerJson(stream, { error: { code: 'not_found', message: 'no' } }, 404));
    expect((await refusal(commandResult(channel, '0123abcd', 0))).code).toBe('exec_not_found');
    expect((await refusal(signalCommand(channel, '0123abcd', 9))).code).toBe('exec_not_found');
    expect((await refusal(removePath(channel, '/x'))).code).toBe('file_not_found');
  });

  test('the largest output that an agent may keep arrives whole', async () => {
    const { channel, answer } = await lyingGuest();
    const stdout = Buffer.alloc(16 * mebibyte, 'output').toString('base64');
    answer(({ stream }) => answerJson(stream, { ...result, stdout }));
    expect((await startCommand(channel, request)).stdout === stdout).toBe(true);
  });
});

describe('answers without end', () => {
  /** Sends as much as it can. @returns how much that was */
  function endless(status: number, sent: { bytes: number }, headers = {}): GuestHandler {
    return ({ stream }) => {
      stream.respond({ ':status': status, ...headers });
      const chunk = Buffer.alloc(mebibyte / 4, ' ');
      const pump = (): void => {
        for (
          let free = true;
          free && !stream.destroyed && sent.bytes < 1024 * mebibyte;
          sent.bytes += chunk.length
        )
          free = stream.write(chunk);
        if (!stream.destroyed) stream.once('drain', pump);
      };
      pump();
    };
  }

  const calls: [string, number, (channel: GuestChannel) => Promise<unknown>, string?][] = [
    ['JSON', 200, guestStats],
    ['a listing', 200, list, 'too_large'],
    ['a list of commands', 200, listSessions, 'too_large'],
    ['an output', 200, (channel) => startCommand(channel, request)],
    ['an error', 500, guestStats],
    ['an error of a call without an answer', 500, (channel) => removePath(channel, '/x')],
  ];
  test.each(calls)('%s', async (_name, status, call, code = 'guest_failed') => {
    const { channel, answer } = await lyingGuest();
    const sent = { bytes: 0 };
    const before = process.memoryUsage();
    answer(endless(status, sent));
    expect((await refusal(call(channel))).code).toBe(code);
    const after = process.memoryUsage();
    expect(sent.bytes).toBeLessThan(200 * mebibyte);
    expect(after.external + after.heapUsed - before.external - before.heapUsed).toBeLessThan(300 * mebibyte);
    answer(({ stream }) => answerJson(stream, stats));
    expect(await guestStats(channel)).toEqual(stats);
  });

  test.each([
    ['removing', (channel: GuestChannel) => removePath(channel, '/x')],
    ['making a directory', (channel: GuestChannel) => makeDirectory(channel, '/x')],
  ])('%s succeeds, and what the guest goes on to send is refused', async (_name, call) => {
    const { channel, answer } = await lyingGuest();
    const sent = { bytes: 0 };
    let closed = false;
    answer((call) => {
      call.stream.once('close', () => (closed = true));
      return endless(200, sent)(call);
    });
    await call(channel);
    await until(() => closed);
    expect(sent.bytes).toBeLessThan(64 * mebibyte);
  });

  test('a gigabyte that is announced is not waited for, nor is room made for it', async () => {
    const { channel, answer } = await lyingGuest();
    const before = process.memoryUsage().external;
    answer(({ stream }) => {
      stream.respond({ ':status': 200, 'content-length': String(1024 * mebibyte) });
      stream.end('{}');
    });
    expect((await refusal(guestStats(channel))).code).toBe('guest_failed');
    expect(process.memoryUsage().external - before).toBeLessThan(64 * mebibyte);
  });

  test('more than was announced is refused', async () => {
    const { channel, answer } = await lyingGuest();
    answer(({ stream }) => {
      stream.respond({ ':status': 200, 'content-length': '2' });
      stream.end(JSON.stringify(stats));
    });
    expect((await refusal(guestStats(channel))).code).toBe('guest_failed');
  });

  test('more header fields than an answer can need are refused', async () => {
    const { channel, answer } = await lyingGuest();
    const fields = Object.fromEntries(
      Array.from({ length: 200 }, (_, index) => [`x-${index}`, 'v'.repeat(100)]),
    );
    answer(({ stream }) => {
      stream.respond({ ':status': 200, ...fields });
      stream.end(JSON.stringify(stats));
    });
    expect((await refusal(guestStats(channel))).code).toBe('guest_failed');
    answer(({ stream }) => answerJson(stream, stats));
    expect(await guestStats(channel)).toEqual(stats);
  });
});

describe('silence and breaks', () => {
  const schema = z.object({});
  const bounds = { deadlineMs: 100 };

  test('a guest that never answers is given up in time, and the call with it', async () => {
    const { channel, answer } = await lyingGuest();
    let closed = false;
    answer(({ stream }) => void stream.once('close', () => (closed = true)));
    const error = await refusal(callJson(await channel.session(), 'GET', '/slow?x=secret', schema, bounds));
    expect(error.code).toBe('guest_timeout');
    expect(error.message).not.toContain('secret');
    await until(() => closed);
  });

  test('a guest that stops in the middle of an answer is given up in time', async () => {
    const { channel, answer } = await lyingGuest();
    answer(({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.write('{');
    });
    const error = await refusal(callJson(await channel.session(), 'GET', '/', schema, bounds));
    expect(error.code).toBe('guest_timeout');
  });

  test('a guest that stops in the middle of an error is given up in time', async () => {
    const { channel, answer } = await lyingGuest();
    answer(({ stream }) => {
      stream.respond({ ':status': 500 });
      stream.write('{');
    });
    const error = await refusal(callJson(await channel.session(), 'GET', '/', schema, bounds));
    expect(error.code).toBe('guest_timeout');
  });

  test('hints that an answer is near do not put it off', async () => {
    const { channel, answer } = await lyingGuest();
    answer(({ stream }) => {
      const timer = setInterval(() => stream.additionalHeaders({ ':status': 103 }), 10);
      stream.once('close', () => clearInterval(timer));
    });
    const error = await refusal(callJson(await channel.session(), 'GET', '/', schema, bounds));
    expect(error.code).toBe('guest_timeout');
  });

  const breaks: [string, GuestHandler][] = [
    ['a reset before the answer', ({ stream }) => stream.close(8)],
    ['a refused stream', ({ stream }) => stream.close(7)],
    ['a clean reset before the answer', ({ stream }) => stream.close(0)],
    ['the end of the session', ({ stream }) => stream.session?.destroy()],
    ['the end of the connection', ({ stream }) => stream.session?.socket.destroy()],
    ['goodbye with an error', ({ stream }) => stream.session?.goaway(2)],
    [
      'a reset in the middle of the answer',
      ({ stream }) => {
        stream.respond({ ':status': 200 });
        stream.write('{"memory', () => stream.close(8));
      },
    ],
    [
      'the end of the connection in the middle of the answer',
      ({ stream }) => {
        stream.respond({ ':status': 200 });
        stream.write('{"memory', () => stream.session?.destroy());
      },
    ],
  ];
  test.each(breaks)('%s ends the call; the next one works', async (_name, handler) => {
    const { channel, answer } = await lyingGuest();
    answer(handler);
    expect((await refusal(guestStats(channel))).code).toBe('guest_failed');
    answer(({ stream }) => answerJson(stream, stats));
    expect(await guestStats(channel)).toEqual(stats);
  });

  test('a break ends all calls that are under way, each with an error', async () => {
    const { channel, answer } = await lyingGuest();
    let waiting = 0;
    answer(({ stream }) => {
      if (++waiting === 50) stream.session?.destroy();
    });
    const errors = await Promise.all(Array.from({ length: 50 }, () => refusal(guestStats(channel))));
    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['guest_failed']));
  });

  test('a session that has ended already is an ApiError as well', async () => {
    const { channel } = await lyingGuest();
    const session = await channel.session();
    session.destroy();
    expect((await refusal(begin(session, 'GET', '/', bounds))).code).toBe('guest_failed');
  });

  test('a call that is given up before it begins does not begin', async () => {
    const { channel, answer } = await lyingGuest();
    let calls = 0;
    answer(({ stream }) => {
      calls++;
      answerJson(stream, {});
    });
    const signal = AbortSignal.abort();
    expect((await refusal(begin(await channel.session(), 'GET', '/', { ...bounds, signal }))).code).toBe(
      'guest_failed',
    );
    await quiesceGuest(channel, { sync: false });
    expect(calls).toBe(1);
  });
});
