import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { PassThrough, Readable, Writable } from 'node:stream';
import { standstill } from '@opencomputer/testing/standstill';
import { ApiError } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { failureOf, until } from '../testing/scratch.ts';
import type { GuestChannel } from './channel.ts';
import { readFile, writeFile } from './files.ts';
import { guestStats } from './system.ts';
import {
  answerJson,
  type GuestHandler,
  guestSocket,
  openChannel,
  startGuest,
} from './testing/guest-agent.ts';

const mebibyte = 1024 * 1024;
const forever = new AbortController().signal;

async function guest(handler: GuestHandler): Promise<GuestChannel> {
  const path = await guestSocket();
  await startGuest(path, (call) => {
    if (call.path !== '/v1/stats') return handler(call);
    const zeros = ['memoryTotalBytes', 'memoryAvailableBytes', 'diskTotalBytes', 'diskFreeBytes'];
    const more = ['load1', 'processes', 'uptimeMs'];
    answerJson(call.stream, Object.fromEntries([...zeros, ...more].map((field) => [field, 0])));
  });
  return openChannel(path);
}

async function drain(stream: Readable): Promise<number> {
  let bytes = 0;
  for await (const part of stream as AsyncIterable<Buffer>) bytes += part.length;
  return bytes;
}

describe('reading', () => {
  test('passes path, length and bytes', async () => {
    let asked = '';
    const channel = await guest(({ stream, path }) => {
      asked = path;
      stream.respond({ ':status': 200, 'content-length': '5' });
      stream.end('hello');
    });
    const { stream, length } = await readFile(channel, '/a b/ü?&#%/\n', forever);
    expect(length).toBe(5);
    expect(await drain(stream)).toBe(5);
    expect(new URL(asked, 'http://x').searchParams.get('path')).toBe('/a b/ü?&#%/\n');
  });

  test.each([
    ['less than announced', '10', 'short'],
    ['more than announced', '2', 'longer'],
  ])('%s breaks the stream', async (_name, length, body) => {
    const channel = await guest(({ stream }) => {
      stream.respond({ ':status': 200, 'content-length': length });
      stream.end(body);
    });
    const outcome = readFile(channel, '/x', forever).then(({ stream }) => drain(stream));
    expect(await failureOf(outcome)).toBeInstanceOf(Error);
    await guestStats(channel);
  });

  test.each(['-1', 'many', '1e3', '9'.repeat(40), ''])('a length of %j is no length', async (length) => {
    const channel = await guest(({ stream }) => {
      stream.respond({ ':status': 200, 'content-length': length });
      stream.end('hello');
    });
    const outcome = await readFile(channel, '/x', forever).then(
      (download) => download,
      (error: unknown) => error,
    );
    if (outcome instanceof Error) expect(outcome).toBeInstanceOf(ApiError);
    else expect((outcome as { length: unknown }).length).toBeUndefined();
  });

  test.each([
    ['resets the call', 'reset'],
    ['drops the connection', 'drop'],
  ])(
    'a guest that %s in the middle breaks the stream, so that nobody takes a part for the whole',
    async (_name, how) => {
      const channel = await guest(({ stream }) => {
        stream.respond({ ':status': 200 });
        stream.write('part', () =>
          how === 'reset' ? stream.destroy(new Error('reset')) : stream.session?.destroy(),
        );
      });
      const outcome = readFile(channel, '/x', forever).then(({ stream }) => drain(stream));
      expect(await failureOf(outcome)).toBeInstanceOf(Error);
      await guestStats(channel);
    },
  );

  test('a reader that goes away resets the call, and the guest stops', async () => {
    let code: number | undefined;
    const channel = await guest(({ stream }) => {
      stream.once('close', () => (code = stream.rstCode));
      stream.respond({ ':status': 200 });
      stream.write(Buffer.alloc(mebibyte));
    });
    const gone = new AbortController();
    const { stream } = await readFile(channel, '/x', gone.signal);
    const reading = failureOf(drain(stream));
    gone.abort();
    expect(await reading).toBeInstanceOf(ApiError);
    await until(() => code !== undefined);
    expect(code).not.toBe(0);
    await guestStats(channel);
  });

  test('a reader that pauses holds the guest back, and other calls go on', async () => {
    let sent = 0;
    const channel = await guest(({ stream }) => {
      stream.respond({ ':status': 200 });
      const chunk = Buffer.alloc(64 * 1024);
      const pump = (): void => {
        do sent += chunk.length;
        while (!stream.destroyed && stream.write(chunk));
        if (!stream.destroyed) stream.once('drain', pump);
      };
      pump();
    });
    const { stream } = await readFile(channel, '/x', forever);
    expect(await standstill(() => sent)).toBeLessThan(16 * mebibyte);
    await guestStats(channel);
    stream.destroy();
  });
});

describe('writing', () => {
  test('passes length and bytes, and ends cleanly', async () => {
    let seen: unknown;
    const channel = await guest(async ({ stream, method, path, body }) => {
      seen = [method, new URL(path, 'http://x').searchParams.get('length'), await body()];
      stream.respond({ ':status': 204 }, { endStream: true });
    });
    await writeFile(channel, '/x', Readable.from(['he', 'llo']), { length: 5, signal: forever });
    expect(seen).toEqual(['PUT', '5', 'hello']);
  });

  test('an empty file is a file', async () => {
    let seen: string | undefined;
    const channel = await guest(async ({ stream, body }) => {
      seen = await body();
      stream.respond({ ':status': 204 }, { endStream: true });
    });
    await writeFile(channel, '/x', Readable.from([]), { length: undefined, signal: forever });
    expect(seen).toBe('');
  });

  /** A guest that records how an upload ended. */
  async function recorder(): Promise<{
    channel: GuestChannel;
    end: () => string | undefined;
    received: () => number;
  }> {
    let end: string | undefined;
    let received = 0;
    const channel = await guest(({ stream }) => {
      stream.on('data', (part: Buffer) => (received += part.length));
      stream.on('aborted', () => (end = 'reset'));
      stream.on('end', () => (end ??= 'clean'));
    });
    return { channel, end: () => end, received: () => received };
  }

  test.each([
    ['breaks', (content: PassThrough): void => void content.destroy(new Error('cut off'))],
    ['is closed', (content: PassThrough): void => void content.destroy()],
  ])(
    'a source that %s resets the upload: the guest must not take a part for the whole',
    async (_name, breakIt) => {
      const { channel, end, received } = await recorder();
      const content = new PassThrough();
      const writing = failureOf(writeFile(channel, '/x', content, { length: undefined, signal: forever }));
      content.write('part');
      await until(() => received() === 4);
      breakIt(content);
      expect(await writing).toBeInstanceOf(ApiError);
      await until(() => end() !== undefined);
      expect(end()).toBe('reset');
      await guestStats(channel);
    },
  );

  test('a caller that gives up resets the upload', async () => {
    const { channel, end, received } = await recorder();
    const gone = new AbortController();
    const content = new PassThrough();
    const writing = failureOf(writeFile(channel, '/x', content, { length: undefined, signal: gone.signal }));
    content.write('part');
    await until(() => received() === 4);
    gone.abort();
    expect(await writing).toBeInstanceOf(ApiError);
    await until(() => end() !== undefined);
    expect(end()).toBe('reset');
  });

  test('an early refusal ends the upload, says why, and leaves the source alone', async () => {
    const channel = await guest(({ stream }) =>
      answerJson(stream, { error: { code: 'is_directory', message: '/x is a directory' } }, 409),
    );
    const content = new PassThrough();
    content.write(Buffer.alloc(8 * mebibyte));
    const error = await failureOf(writeFile(channel, '/x', content, { length: undefined, signal: forever }));
    expect((error as ApiError).code).toBe('is_directory');
    expect(content.destroyed).toBe(false);
    content.destroy();
  });

  test('success before the end of the body is a lie', async () => {
    const channel = await guest(({ stream }) => stream.respond({ ':status': 204 }, { endStream: true }));
    const content = new PassThrough();
    content.write('part');
    const error = await failureOf(writeFile(channel, '/x', content, { length: undefined, signal: forever }));
    expect((error as ApiError).code).toBe('guest_failed');
    content.destroy();
  });

  test('a guest that does not read holds the source back', async () => {
    const channel = await guest(({ stream }) => void stream.pause());
    let taken = 0;
    const chunk = Buffer.alloc(64 * 1024);
    const content = new Readable({
      read() {
        taken += chunk.length;
        this.push(chunk);
      },
    });
    const gone = new AbortController();
    const writing = failureOf(writeFile(channel, '/x', content, { length: undefined, signal: gone.signal }));
    expect(await standstill(() => taken)).toBeLessThan(16 * mebibyte);
    await guestStats(channel);
    gone.abort();
    await writing;
    content.destroy();
  });
});

test('half a gigabyte each way passes in constant memory', async () => {
  const size = 512 * mebibyte;
  let received = 0;
  const channel = await guest(async ({ stream, method }) => {
    if (method === 'GET') {
      stream.respond({ ':status': 200, 'content-length': String(size) });
      await pipeline(createReadStream('/dev/zero', { end: size - 1, highWaterMark: 256 * 1024 }), stream);
      return;
    }
    for await (const part of stream as AsyncIterable<Buffer>) received += part.length;
    stream.respond({ ':status': 204 }, { endStream: true });
  });
  const before = process.memoryUsage();
  let most = 0;
  const sampling = setInterval(() => {
    const now = process.memoryUsage();
    most = Math.max(most, now.external + now.heapUsed - before.external - before.heapUsed);
  }, 20);
  try {
    const { stream } = await readFile(channel, '/x', forever);
    let read = 0;
    await pipeline(
      stream,
      new Writable({
        write(part: Buffer, _encoding, done) {
          read += part.length;
          done();
        },
      }),
    );
    expect(read).toBe(size);
    const zeros = createReadStream('/dev/zero', { end: size - 1, highWaterMark: 256 * 1024 });
    await writeFile(channel, '/x', zeros, { length: size, signal: forever });
    expect(received).toBe(size);
  } finally {
    clearInterval(sampling);
  }
  expect(most).toBeLessThan(200 * mebibyte);
});
