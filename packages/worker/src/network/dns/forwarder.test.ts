import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { answerTo, fakeResolver, queryFor } from '../testing/resolver.ts';
import { DnsForwarder } from './forwarder.ts';
import type { ForwarderOptions } from './forwarder.ts';
import { frame, readFrames } from './framing.ts';
import { Quota } from './quota.ts';
import { parseResolvers } from './resolvers.ts';
import type { Resolver } from './resolvers.ts';

const quiet = (): void => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet } as unknown as ForwarderOptions['log'];
const address = '127.0.0.1';
const serverFailure = 2;

function listen(resolvers: Resolver[], changes: Partial<ForwarderOptions> = {}): Promise<DnsForwarder> {
  return DnsForwarder.listen({ address, port: 0, resolvers: () => resolvers, log, ...changes });
}

async function ask(port: number, query: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4');
  try {
    socket.send(query, port, address);
    const [message] = (await once(socket, 'message')) as [Buffer];
    return message;
  } finally {
    socket.close();
  }
}

/** A port on which nothing listens. */
async function deadPort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, address);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

describe('over UDP', () => {
  test('carries query and answer, under ids of its own', async () => {
    await using upstream = await fakeResolver({ address, port: 0 }, '203.0.113.5');
    await using forwarder = await listen([{ address, port: upstream.port }]);
    for (let round = 0; round < 4; round += 1) {
      expect(await ask(forwarder.port, queryFor('a.test', 7))).toEqual(
        answerTo(queryFor('a.test', 7), '203.0.113.5'),
      );
    }
    expect(new Set(upstream.seen.map((query) => query.readUInt16BE(0))).size).toBeGreaterThan(1);
  });

  test('says in the log why a resolver did not answer', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'debug' }, { write: (line) => void lines.push(line) });
    await using forwarder = await listen([{ address, port: await deadPort() }], { log });
    await ask(forwarder.port, queryFor('a.test'));
    const [logged] = lines.map((line) => JSON.parse(line) as { msg: string; err?: { message: string } });
    expect(logged).toMatchObject({ msg: 'resolver failed', err: { message: expect.stringMatching(/./) } });
  });

  test('believes no answer with another id or question', async () => {
    const wrongId = (query: Buffer): Buffer => {
      const forged = answerTo(query, '203.0.113.66');
      forged.writeUInt16BE(query.readUInt16BE(0) ^ 1, 0);
      return forged;
    };
    const wrongName = (query: Buffer): Buffer =>
      answerTo(queryFor('evil.test', query.readUInt16BE(0)), '203.0.113.66');
    const reply = (query: Buffer): Buffer[] => [
      wrongId(query),
      wrongName(query),
      query,
      Buffer.alloc(3),
      answerTo(query, '203.0.113.5'),
    ];
    await using upstream = await fakeResolver({ address, port: 0 }, '203.0.113.5', reply);
    await using forwarder = await listen([{ address, port: upstream.port }]);
    expect((await ask(forwarder.port, queryFor('good.test'))).subarray(-4)).toEqual(
      Buffer.from([203, 0, 113, 5]),
    );
  });

  test('says "server failure" when the resolver is silent, and when it is dead', async () => {
    await using silent = await fakeResolver({ address, port: 0 }, '203.0.113.5', () => []);
    for (const port of [silent.port, await deadPort()]) {
      await using forwarder = await listen([{ address, port }], { budgetMs: 100 });
      const answer = await ask(forwarder.port, queryFor('a.test', 99));
      expect(answer.readUInt16BE(0)).toBe(99);
      expect(answer[3]! & 15).toBe(serverFailure);
      expect(answer.subarray(12)).toEqual(queryFor('a.test').subarray(12));
    }
  });

  test('goes to the next resolver, and stays there', async () => {
    await using silent = await fakeResolver({ address, port: 0 }, '203.0.113.5', () => []);
    await using alive = await fakeResolver({ address, port: 0 }, '203.0.113.6');
    const resolvers = [silent, alive].map(({ port }) => ({ address, port }));
    await using forwarder = await listen(resolvers, { budgetMs: 4000 });
    for (let round = 0; round < 3; round += 1) {
      expect((await ask(forwarder.port, queryFor('a.test'))).at(-1)).toBe(6);
    }
    expect(silent.seen).toHaveLength(1);
  });

  test('refuses a source with too many open queries at once', async () => {
    await using silent = await fakeResolver({ address, port: 0 }, '203.0.113.5', () => []);
    await using forwarder = await listen([{ address, port: silent.port }], { budgetMs: 60_000 });
    const socket = createSocket('udp4');
    for (let id = 0; id < 65; id += 1) socket.send(queryFor('a.test', id), forwarder.port, address);
    const [answer] = (await once(socket, 'message')) as [Buffer];
    // The last query is refused while the others wait.
    expect(answer.readUInt16BE(0)).toBe(64);
    expect(answer[3]! & 15).toBe(serverFailure);
    expect(silent.seen).toHaveLength(64);
    socket.close();
  });

  test('passes over what is no query', async () => {
    await using upstream = await fakeResolver({ address, port: 0 }, '203.0.113.5');
    await using forwarder = await listen([{ address, port: upstream.port }]);
    const socket = createSocket('udp4');
    const junk = [Buffer.alloc(11), Buffer.alloc(5000), answerTo(queryFor('a.test'), '203.0.113.5')];
    for (const message of [...junk, queryFor('a.test', 3)]) socket.send(message, forwarder.port, address);
    const [answer] = (await once(socket, 'message')) as [Buffer];
    expect(answer.readUInt16BE(0)).toBe(3);
    expect(upstream.seen).toHaveLength(1);
    socket.close();
  });
});

describe('over TCP', () => {
  test('answers pipelined queries in order, however they are cut', async () => {
    await using upstream = await fakeResolver({ address, port: 0 }, '203.0.113.5');
    await using forwarder = await listen([{ address, port: upstream.port }]);
    const socket = connect(forwarder.port, address);
    const bytes = Buffer.concat([1, 2, 3].map((id) => frame(queryFor('a.test', id))));
    for (const byte of bytes) socket.write(Buffer.from([byte]));
    const ids: number[] = [];
    for await (const message of readFrames(socket, 0xffff)) {
      ids.push(message.readUInt16BE(0));
      if (ids.length === 3) break;
    }
    expect(ids).toEqual([1, 2, 3]);
  });

  test('ends connections that are idle or announce too much', async () => {
    await using forwarder = await listen([], { idleMs: 50 });
    for (const bytes of [Buffer.from([0]), Buffer.from([0xff, 0xff]), Buffer.from([0, 0])]) {
      const socket = connect(forwarder.port, address);
      socket.on('error', quiet);
      socket.write(bytes);
      socket.resume();
      await once(socket, 'close');
    }
  });

  test('ends connections beyond a source’s share', async () => {
    await using forwarder = await listen([]);
    const sockets = Array.from({ length: 16 }, () => connect(forwarder.port, address));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const extra = connect(forwarder.port, address);
    extra.on('error', quiet);
    extra.resume();
    await once(extra, 'close');
    expect(sockets.every((socket) => !socket.closed)).toBe(true);
    for (const socket of sockets) socket.destroy();
  });
});

test('resolv.conf is read as glibc reads it', () => {
  const text =
    '# nameserver 10.9.9.9\nnameserver 10.0.0.1\n nameserver\t::1 \nnameserver nonsense\nsearch a.test\n';
  expect(parseResolvers(text).map(({ address }) => address)).toEqual(['10.0.0.1', '::1']);
  expect(parseResolvers('')).toEqual([{ address: '127.0.0.1', port: 53 }]);
});

test('a quota counts in all and for each source', () => {
  const quota = new Quota(3, 2);
  const release = quota.take('a');
  quota.take('a');
  expect(quota.take('a')).toBeUndefined();
  quota.take('b');
  expect(quota.take('b')).toBeUndefined();
  release?.();
  expect(quota.take('b')).toBeDefined();
});
