import { standstill } from '@opencomputer/testing/standstill';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ConnectionError, FileNotFoundError, SandboxNotFoundError, TimeoutError } from './errors.ts';
import { Filesystem } from './files.ts';
import { HttpClient } from './http.ts';
import { sendJson, TestServer } from './testing/http-server.ts';
import type { FileContent } from './upload.ts';

const MiB = 1024 * 1024;
const filesAt = (url: string, requestTimeoutMs?: number): Filesystem =>
  new Filesystem(new HttpClient({ apiUrl: `${url}/api`, apiKey: '', requestTimeoutMs }), '/sandboxes/sb-1');

const everyByte = Uint8Array.from({ length: 256 }, (_, value) => value);

async function* chunksOf(size: number, count: number): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < count; n += 1) yield new Uint8Array(size);
}

/** The clock of limits stands still from now on, but for what the test lets pass. */
function stopClock(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
}

describe('write', () => {
  const contents: [string, () => FileContent, Uint8Array][] = [
    ['a string', () => 'grüße\n', new TextEncoder().encode('grüße\n')],
    ['an empty string', () => '', new Uint8Array()],
    ['bytes', () => everyByte, everyByte],
    ['bytes of a larger buffer', () => everyByte.subarray(10, 20), everyByte.subarray(10, 20)],
    ['many bytes', () => new Uint8Array(MiB + 1).fill(7), new Uint8Array(MiB + 1).fill(7)],
    ['an ArrayBuffer', () => everyByte.slice().buffer, everyByte],
    ['a Blob', () => new Blob([everyByte]), everyByte],
    ['an empty Blob', () => new Blob([]), new Uint8Array()],
    ['a ReadableStream', () => new Blob([everyByte]).stream(), everyByte],
    [
      'an async iterable of strings, bytes and nothing',
      async function* mixed() {
        yield 'a';
        yield new Uint8Array();
        yield everyByte;
      },
      new Uint8Array([97, ...everyByte]),
    ],
  ];

  test.each(contents)('sends %s as it is', async (_name, content, expected) => {
    await using server = await TestServer.start((_request, response) => response.writeHead(204).end());
    await filesAt(server.url).write('/a b', content());
    expect(server.seen[0]).toMatchObject({ method: 'PUT', path: '/api/sandboxes/sb-1/files' });
    expect(server.seen[0]?.query.get('path')).toBe('/a b');
    expect(Buffer.compare(server.seen[0]?.body ?? Buffer.alloc(0), expected)).toBe(0);
  });

  test('tells the length of what has one', async () => {
    await using server = await TestServer.start((_request, response) => response.writeHead(204).end());
    await filesAt(server.url).write('a', new Uint8Array(MiB));
    await filesAt(server.url).write('a', new Blob([everyByte]));
    await filesAt(server.url).write('a', chunksOf(10, 1));
    expect(server.seen.map(({ headers }) => headers['content-length'])).toEqual([
      String(MiB),
      '256',
      undefined,
    ]);
  });

  test('takes no more from a stream than the connection does, and releases it at the end', async () => {
    let resume = (): void => undefined;
    let received = 0;
    await using server = await TestServer.startRaw((message, response) => {
      message.pause();
      resume = () => {
        message.on('data', (chunk: Buffer) => (received += chunk.length));
        message.on('end', () => response.writeHead(204).end());
        message.resume();
      };
    });
    let taken = 0;
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (; taken < 64; taken += 1) yield new Uint8Array(MiB);
      } finally {
        closed = true;
      }
    }
    const writing = filesAt(server.url).write('a', source());
    expect(await standstill(() => taken)).toBeLessThan(24);
    resume();
    await writing;
    expect(received).toBe(64 * MiB);
    expect(closed).toBe(true);
  });

  test('a source that fails is reported as it failed, and the body is cut off', async () => {
    let aborted = false;
    await using server = await TestServer.startRaw((message) => {
      message.on('error', () => (aborted = true)).resume();
    });
    const failure = new Error('disk of the caller');
    async function* source(): AsyncGenerator<Uint8Array> {
      yield everyByte;
      throw failure;
    }
    await expect(filesAt(server.url).write('a', source())).rejects.toBe(failure);
    await expect.poll(() => aborted).toBe(true);
  });

  test('a refusal in the middle ends the upload and closes the source', async () => {
    await using server = await TestServer.startRaw((_message, response) => {
      sendJson(response, 410, { error: 'it has ended', code: 'sandbox_stopped' });
    });
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield new Uint8Array(MiB);
      } finally {
        closed = true;
      }
    }
    await expect(filesAt(server.url).write('a', source())).rejects.toMatchObject({ code: 'sandbox_stopped' });
    await expect.poll(() => closed).toBe(true);
  });

  test('the limit is for progress: slow is fine, stuck is not', async () => {
    stopClock();
    await using server = await TestServer.start((_request, response) => response.writeHead(204).end());
    async function* slow(): AsyncGenerator<string> {
      for (let n = 0; n < 6; n += 1) {
        vi.advanceTimersByTime(999);
        yield 'x';
      }
    }
    await filesAt(server.url, 1000).write('a', slow());
    async function* stuck(): AsyncGenerator<string> {
      yield 'x';
      vi.advanceTimersByTime(1000);
      await new Promise(() => undefined);
    }
    await expect(filesAt(server.url, 1000).write('a', stuck())).rejects.toBeInstanceOf(TimeoutError);
  });

  test.each([5, null, undefined, {}, ['a']])('refuses %j', async (content) => {
    const write = filesAt('http://127.0.0.1:1').write('a', content as FileContent);
    await expect(write).rejects.toThrow(/Give a string .*JSON.stringify.*, Uint8Array/);
  });

  test('refuses a stream of anything but bytes', async () => {
    await using server = await TestServer.start((_request, response) => response.writeHead(204).end());
    const numbers = ReadableStream.from([1, 2]) as unknown as FileContent;
    await expect(filesAt(server.url).write('a', numbers)).rejects.toThrow(/yielded number/);
  });
});

describe('read', () => {
  test('keeps every byte, and the mark at the start of a text', async () => {
    await using server = await TestServer.start((request, response) =>
      response.end(request.query.get('path') === 'text' ? '\uFEFFgrüße' : everyByte),
    );
    expect(await filesAt(server.url).readBytes('bytes')).toEqual(everyByte);
    expect(await filesAt(server.url).read('text')).toBe('\uFEFFgrüße');
  });

  test.each([true, false])('reads a large body, length announced: %s', async (announced) => {
    await using server = await TestServer.start(async (_request, response) => {
      if (announced) response.setHeader('content-length', 8 * MiB);
      for (let n = 0; n < 8; n += 1) response.write(new Uint8Array(MiB).fill(n));
      response.end();
    });
    const bytes = await filesAt(server.url).readBytes('a');
    expect(bytes).toHaveLength(8 * MiB);
    expect([0, MiB, 8 * MiB - 1].map((at) => bytes[at])).toEqual([0, 1, 7]);
  });

  test('an empty file is empty', async () => {
    await using server = await TestServer.start((_request, response) => response.end());
    expect(await filesAt(server.url).readBytes('a')).toEqual(new Uint8Array());
    expect(await filesAt(server.url).read('a')).toBe('');
  });

  test('a body that breaks off is an error, not a short file', async () => {
    await using server = await TestServer.start((_request, response) => {
      response.write('half', () => response.destroy());
    });
    await expect(filesAt(server.url).readBytes('a')).rejects.toBeInstanceOf(ConnectionError);
  });

  test('a stream takes from the server only what is read, and waits for its reader', async () => {
    stopClock();
    let sent = 0;
    await using server = await TestServer.start((_request, response) => {
      const more = (): void => {
        while (sent < 64 && response.write(new Uint8Array(MiB))) sent += 1;
        if (sent < 64) sent += 1;
        else response.end();
      };
      response.on('drain', more);
      more();
    });
    const stream = await filesAt(server.url, 1500).readStream('a');
    expect(await standstill(() => sent)).toBeLessThan(24);
    // Longer than the limit, which does not apply while a slow reader is not waiting.
    vi.advanceTimersByTime(1600);
    let size = 0;
    for await (const chunk of stream) size += chunk.byteLength;
    expect(size).toBe(64 * MiB);
  });

  test('a stream that gets nothing more fails by the limit; one that is cancelled ends the transfer', async () => {
    stopClock();
    let closed = 0;
    await using server = await TestServer.start((_request, response) => {
      response.on('close', () => (closed += 1)).write('x');
    });
    const reader = (await filesAt(server.url, 2000).readStream('a')).getReader();
    expect((await reader.read()).value).toHaveLength(1);
    const more = expect(reader.read()).rejects.toBeInstanceOf(TimeoutError);
    await vi.advanceTimersByTimeAsync(2000);
    await more;
    await (await filesAt(server.url).readStream('a')).cancel();
    await expect.poll(() => closed).toBe(2);
  });

  test('a missing file is a FileNotFoundError', async () => {
    await using server = await TestServer.start((_request, response) =>
      sendJson(response, 404, { error: 'no such file: /x', code: 'file_not_found' }),
    );
    await expect(filesAt(server.url).read('/x')).rejects.toBeInstanceOf(FileNotFoundError);
  });
});

describe('the rest', () => {
  test('exists is true for what is there, readable or not; other failures are reported', async () => {
    const answers: Record<string, [number, string]> = {
      missing: [404, 'file_not_found'],
      directory: [400, 'is_directory'],
      'below a file': [400, 'not_directory'],
      pipe: [400, 'not_regular_file'],
      elsewhere: [404, 'sandbox_not_found'],
    };
    await using server = await TestServer.start((request, response) => {
      const [status, code] = answers[request.query.get('path') ?? ''] ?? [200, ''];
      sendJson(response, status, { error: 'x', code });
    });
    const files = filesAt(server.url);
    expect(await files.exists('there')).toBe(true);
    expect(await files.exists('missing')).toBe(false);
    expect(await files.exists('directory')).toBe(true);
    expect(await files.exists('below a file')).toBe(false);
    expect(await files.exists('pipe')).toBe(true);
    await expect(files.exists('elsewhere')).rejects.toBeInstanceOf(SandboxNotFoundError);
  });

  test('list fills in what the wire leaves out', async () => {
    const entry = { name: 'a', path: '/a', isDir: false, type: 'file', mode: '0644' };
    await using server = await TestServer.start((_request, response) =>
      sendJson(response, 200, [{ ...entry, modifiedAt: '2026-01-02T03:04:05Z' }]),
    );
    expect(await filesAt(server.url).list()).toEqual([
      { ...entry, size: 0, modifiedAt: new Date('2026-01-02T03:04:05Z') },
    ]);
    expect(server.seen[0]).toMatchObject({ method: 'GET', path: '/api/sandboxes/sb-1/files/list' });
    expect(server.seen[0]?.query.get('path')).toBe('/');
  });

  test('makeDir and remove', async () => {
    await using server = await TestServer.start((_request, response) => response.writeHead(204).end());
    await filesAt(server.url).makeDir('/d');
    await filesAt(server.url).remove('/d');
    expect(server.seen.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /api/sandboxes/sb-1/files/mkdir',
      'DELETE /api/sandboxes/sb-1/files',
    ]);
  });
});
