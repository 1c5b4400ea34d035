import { once } from 'node:events';
import { type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiError, type Identity } from '@opencomputer/protocol';
import { describe, expect, onTestFinished, test } from 'vitest';
import { countConnections } from '../testing/connections.ts';
import { failureOf, until } from '../testing/scratch.ts';
import { GuestChannel } from './channel.ts';
import { guestStats } from './system.ts';
import {
  answerJson,
  guestSocket,
  type GuestHandler,
  honestHandshake,
  openChannel,
  startGuest,
  startRawGuest,
} from './testing/guest-agent.ts';

const stats = {
  memoryTotalBytes: 1,
  memoryAvailableBytes: 1,
  diskTotalBytes: 1,
  diskFreeBytes: 1,
  load1: 0,
  processes: 1,
  uptimeMs: 1,
};
const honest: GuestHandler = ({ stream }) => answerJson(stream, stats);
const never: GuestHandler = () => undefined;

/** Longer than any test may take. */
const tooLongMs = 600_000;

/** The ApiError that a promise ends with. */
async function refusal(promise: Promise<unknown>): Promise<ApiError> {
  const error = await failureOf(promise);
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
}

describe('with an honest guest', () => {
  test('shakes hands once, with a fresh epoch and the identity, for all who ask at the same time', async () => {
    const path = await guestSocket();
    const guest = await startGuest(path, honest);
    const identity: Identity = { hostname: 'sb-1', env: { A: '1' } };
    const channel = new GuestChannel({ socketPath: path, identity: () => identity });
    onTestFinished(() => channel.close());
    const sessions = await Promise.all(Array.from({ length: 20 }, () => channel.session(30_000, 30_000)));
    expect(new Set(sessions).size).toBe(1);
    expect(await channel.session()).toBe(sessions[0]);
    expect(guest.connections).toBe(1);
    expect(guest.handshakes).toEqual([
      { protocol: 1, epoch: expect.stringMatching(/^[0-9a-f]{32}$/), identity },
    ]);
    expect(channel.agent).toMatchObject({ generation: 2, init: 'systemd' });
  });

  test.each([
    { generation: 3, lost: 'is made again soon', made: 3 },
    { generation: 4, lost: 'is waited for: its agent is only slow', made: 2 },
  ])('a handshake that generation $generation leaves open $lost', async ({ generation, made }) => {
    const path = await guestSocket();
    let handshakes = 0;
    let answerSlow: (() => void) | undefined;
    const guest = await startGuest(path, honest, async ({ stream, body }) => {
      const { epoch } = JSON.parse(await body()) as { epoch: string };
      const answer = (): void => answerJson(stream, honestHandshake(epoch, generation));
      handshakes += 1;
      if (handshakes === 2) answerSlow = answer;
      else answer();
    });
    const channel = new GuestChannel({ socketPath: path, identity: () => undefined });
    onTestFinished(() => channel.close());
    await channel.session(30_000, 30_000);
    channel.hangUp();
    const session = channel.session();
    await until(() => answerSlow !== undefined);
    if (made > 2) await until(() => handshakes === made);
    else {
      // Real time: longer than the wait for a guest agent that may have lost the handshake.
      await delay(1_000);
      answerSlow?.();
    }
    await session;
    expect(guest.connections).toBe(made);
  });

  test('makes the identity anew for each handshake', async () => {
    const path = await guestSocket();
    const guest = await startGuest(path, honest);
    let clock = 0;
    const channel = new GuestChannel({
      socketPath: path,
      identity: () => ({ clockUnixNs: String(++clock) }),
      clockSlackMs: Infinity,
    });
    onTestFinished(() => channel.close());
    await channel.session();
    channel.hangUp();
    await channel.session();
    expect(guest.handshakes.map(({ identity }) => identity)).toEqual([
      { clockUnixNs: '1' },
      { clockUnixNs: '2' },
    ]);
    expect(guest.handshakes[0]?.epoch).not.toBe(guest.handshakes[1]?.epoch);
  });

  test('sets the clock again, and nothing else, when the handshake was slow', async () => {
    const path = await guestSocket();
    const guest = await startGuest(path, honest);
    let clock = 0;
    const channel = new GuestChannel({
      socketPath: path,
      identity: () => ({ clockUnixNs: String(++clock), hostname: 'sb-1' }),
      clockSlackMs: -1,
    });
    onTestFinished(() => channel.close());
    await channel.session();
    expect(guest.handshakes.map(({ identity }) => identity)).toEqual([
      { clockUnixNs: '1', hostname: 'sb-1' },
      { clockUnixNs: '2' },
      { clockUnixNs: '3' },
      { clockUnixNs: '4' },
    ]);
    expect(new Set(guest.handshakes.map(({ epoch }) => epoch)).size).toBe(1);
    expect(guest.connections).toBe(1);
  });

  test.each([
    ['ends the session', (sockets: Set<Socket>): void => sockets.forEach((socket) => socket.end())],
    ['drops the connection', (sockets: Set<Socket>): void => sockets.forEach((socket) => socket.destroy())],
  ])('connects again after the guest %s', async (_name, breakIt) => {
    const path = await guestSocket();
    const guest = await startGuest(path, honest);
    const channel = openChannel(path);
    const first = await channel.session();
    breakIt(guest.sockets);
    if (!first.destroyed) await once(first, 'close');
    expect(await guestStats(channel)).toEqual(stats);
    expect(guest.connections).toBe(2);
  });

  test('waits for a socket that is not there yet', async () => {
    const path = await guestSocket();
    const tried = countConnections();
    const channel = openChannel(path);
    const session = channel.session(tooLongMs, 1000);
    await until(() => tried() >= 2);
    await startGuest(path, honest);
    expect((await session).destroyed).toBe(false);
  });

  test('a closed channel says so, and hangs up', async () => {
    const path = await guestSocket();
    const guest = await startGuest(path, honest);
    const channel = openChannel(path);
    await channel.session();
    channel.close();
    expect((await refusal(channel.session())).message).toContain('closed');
    await until(() => guest.sockets.size === 0);
  });

  test('closing in the middle of a handshake ends it and everybody who waits for it', async () => {
    const path = await guestSocket();
    const guest = await startGuest(path, honest, never);
    const channel = openChannel(path);
    const waiting = refusal(channel.session(tooLongMs, tooLongMs));
    await until(() => guest.connections === 1);
    channel.close();
    expect((await waiting).code).toBe('guest_failed');
    await until(() => guest.sockets.size === 0);
  });
});

describe('a handshake that lies', () => {
  const wrong: Record<string, unknown[]> = {
    protocol: [undefined, null, 0, 2, '1', [1], {}],
    generation: [undefined, null, 0, -1, 1.5, 1e9, '1', {}],
    version: [undefined, null, 1, 'v'.repeat(65), ['0.1.0']],
    epoch: [undefined, null, '', 'of another time', 1, 'e'.repeat(65)],
    bootId: [undefined, null, 1, 'b'.repeat(65), {}],
    uptimeMs: [undefined, null, -1, '1', []],
    init: [undefined, null, 'launchd', 1, {}],
    memoryBytes: [undefined, null, -1, '1', true],
  };

  // All at the same time, since each is tried until its deadline.
  test('in any field is refused, and the truth is taken afterwards', async () => {
    const lies = Object.entries(wrong).flatMap(([field, values]) => values.map((lie) => ({ field, lie })));
    const refused = lies.map(async ({ field, lie }) => {
      const path = await guestSocket();
      let lying = true;
      await startGuest(path, honest, async ({ stream, body }) => {
        const { epoch } = JSON.parse(await body()) as { epoch: string };
        answerJson(stream, { ...honestHandshake(epoch), ...(lying ? { [field]: lie } : {}) });
      });
      const channel = openChannel(path);
      const { code } = await refusal(channel.session(3000, 3000));
      expect(channel.agent).toBeUndefined();
      lying = false;
      expect((await channel.session()).destroyed).toBe(false);
      return { field, lie, code };
    });
    expect(await Promise.all(refused)).toEqual(lies.map((lie) => ({ ...lie, code: 'guest_failed' })));
  });

  const answers: [string, GuestHandler, ApiError['code']][] = [
    ['is a list', ({ stream }) => answerJson(stream, []), 'guest_failed'],
    ['is null', ({ stream }) => answerJson(stream, null), 'guest_failed'],
    ['is empty', ({ stream }) => (stream.respond({ ':status': 200 }), void stream.end()), 'guest_failed'],
    ['is not JSON', ({ stream }) => (stream.respond(), void stream.end('{"protocol":')), 'guest_failed'],
    [
      'is a refusal',
      ({ stream }) => answerJson(stream, { error: { code: 'x', message: 'no' } }, 500),
      'guest_failed',
    ],
    ['is a redirect', ({ stream }) => answerJson(stream, {}, 302), 'guest_failed'],
    ['is a reset', ({ stream }) => stream.close(2), 'guest_failed'],
    [
      'is larger than a handshake can be',
      ({ stream }) => answerJson(stream, 'x'.repeat(20_000)),
      'guest_failed',
    ],
    ['never comes', never, 'guest_timeout'],
  ];
  test.each(answers)('an answer that %s', async (_name, handshake, code) => {
    const path = await guestSocket();
    await startGuest(path, honest, handshake);
    expect((await refusal(openChannel(path).session(300, 300))).code).toBe(code);
  });

  test('an endless answer is cut off and costs no memory', async () => {
    const path = await guestSocket();
    let sent = 0;
    await startGuest(path, honest, ({ stream }) => {
      stream.respond({ ':status': 200 });
      const chunk = Buffer.alloc(64 * 1024, ' ');
      const pump = (): void => {
        do sent += chunk.length;
        while (!stream.destroyed && stream.write(chunk));
        if (!stream.destroyed) stream.once('drain', pump);
      };
      pump();
    });
    await refusal(openChannel(path).session(200, 200));
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(256 * 1024 * 1024);
  });
});

describe('a port that speaks no HTTP/2', () => {
  /** Type, flags, stream and length of a frame (RFC 9113, 4.1). */
  function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  }
  const settings = frame(4, 0, 0, Buffer.alloc(0));

  function flood(socket: Socket, chunk: Buffer): void {
    const pump = (): void => {
      if (socket.destroyed) return;
      if (socket.write(chunk)) setImmediate(pump);
      else socket.once('drain', pump);
    };
    pump();
  }

  const ports: [string, (socket: Socket) => void][] = [
    ['closes at once', (socket) => void socket.destroy()],
    ['ends at once', (socket) => void socket.end()],
    ['says nothing', () => undefined],
    ['does not even read', (socket) => void socket.pause()],
    ['answers with HTTP/1', (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')],
    ['echoes', (socket) => void socket.pipe(socket)],
    ['sends zeros without end', (socket) => flood(socket, Buffer.alloc(64 * 1024))],
    ['sends noise without end', (socket) => flood(socket, Buffer.alloc(64 * 1024, 'noise'))],
    ['sends settings and then nothing', (socket) => void socket.write(settings)],
    ['sends settings without end', (socket) => flood(socket, Buffer.concat(Array(1000).fill(settings)))],
    [
      'sends pings without end',
      (socket) => {
        socket.write(settings);
        flood(socket, Buffer.concat(Array(1000).fill(frame(6, 0, 0, Buffer.alloc(8)))));
      },
    ],
    [
      'sends headers without end',
      (socket) => {
        socket.write(Buffer.concat([settings, frame(1, 0, 1, Buffer.from([0x88]))]));
        // Never-indexed literal fields, each a hundred bytes long.
        const field = Buffer.concat([Buffer.from([0x10, 1, 0x61, 100]), Buffer.alloc(100, 'v')]);
        flood(socket, frame(9, 0, 1, Buffer.concat(Array(100).fill(field))));
      },
    ],
    [
      'announces a frame of 16 MB',
      (socket) => void socket.write(Buffer.from('ffffff0000000000010000', 'hex')),
    ],
    [
      'pushes a stream',
      (socket) =>
        void socket.write(Buffer.concat([settings, frame(5, 4, 1, Buffer.from('0000000288', 'hex'))])),
    ],
    [
      'allows no streams at all',
      (socket) => void socket.write(frame(4, 0, 0, Buffer.from('000300000000', 'hex'))),
    ],
    [
      'allows no bytes at all',
      (socket) => void socket.write(frame(4, 0, 0, Buffer.from('000400000000', 'hex'))),
    ],
    [
      'says goodbye at once',
      (socket) => void socket.write(Buffer.concat([settings, frame(7, 0, 0, Buffer.alloc(8))])),
    ],
  ];
  test.each(ports)(
    'one that %s fails in time, and an honest one is found afterwards',
    async (_name, port) => {
      const path = await guestSocket();
      const guest = await startRawGuest(path, port);
      const channel = openChannel(path);
      const before = process.memoryUsage();
      const error = await refusal(channel.session(300, 100));
      expect(['guest_failed', 'guest_timeout']).toContain(error.code);
      const after = process.memoryUsage();
      expect(after.external + after.heapUsed - before.external - before.heapUsed).toBeLessThan(
        100 * 1024 * 1024,
      );
      expect(guest.connections).toBeGreaterThan(0);
      await until(() => [...guest.sockets].every((socket) => socket.destroyed || socket.isPaused()));
      for (const socket of guest.sockets) socket.destroy();

      await startGuest(path, honest);
      expect(await guestStats(channel)).toEqual(stats);
    },
  );

  test('retries leave the processor alone', async () => {
    const path = await guestSocket();
    const guest = await startRawGuest(path, (socket) => void socket.destroy());
    await refusal(openChannel(path).session(1000, 500));
    expect(guest.connections).toBeGreaterThan(2);
    expect(guest.connections).toBeLessThan(60);
  });

  test('a socket that is missing is asked for no more often', async () => {
    const tried = countConnections();
    await refusal(openChannel(await guestSocket()).session(1000, 500));
    expect(tried()).toBeGreaterThan(2);
    expect(tried()).toBeLessThan(60);
  });
});

describe('like the port of a machine, which serves one connection at a time', () => {
  test('a guest that says goodbye and keeps its streams cannot block the next connection', async () => {
    const path = await guestSocket();
    const guest = await startGuest(path, ({ stream, path: target }) => {
      if (target === '/v1/stats') return answerJson(stream, stats);
      stream.session?.goaway(0);
    });
    const channel = openChannel(path);
    const first = await channel.session();
    const hanging = first.request({ ':path': '/hang' });
    hanging.on('error', () => undefined);
    await until(() => first.closed);
    expect(first.destroyed).toBe(false);
    const [socket] = guest.sockets;
    await guestStats(channel);
    await until(() => socket?.destroyed === true);
    expect(guest.sockets.size).toBe(1);
  });

  test('hanging up ends the connection although the guest does not read', async () => {
    const path = await guestSocket();
    const guest = await startGuest(path, never);
    const channel = openChannel(path);
    const session = await channel.session();
    const upload = session.request({ ':method': 'PUT', ':path': '/v1/files' }, { endStream: false });
    upload.on('error', () => undefined);
    for (const socket of guest.sockets) socket.pause();
    while (upload.write(Buffer.alloc(256 * 1024)));
    const [socket] = guest.sockets;
    channel.hangUp();
    await until(() => session.destroyed);
    socket?.resume();
    await until(() => guest.sockets.size === 0);
  });
});
