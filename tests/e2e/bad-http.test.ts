import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { fileSandbox, sharedApi } from '../support/shared.ts';

/** Sends bytes as they are, closes our half, and reads to the end. */
function raw(bytes: string | Buffer, { halfClose = true } = {}): Promise<string> {
  const { hostname, port } = new URL(sharedApi().url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    let text = '';
    socket.setTimeout(60_000, () => socket.destroy());
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    // A reset is an answer too: what came before it counts.
    socket.on('error', () => undefined);
    socket.once('end', () => socket.destroy());
    socket.once('close', () => resolve(text));
    if (halfClose) socket.end(bytes);
    else socket.write(bytes);
  });
}

const host = (): string => new URL(sharedApi().url).host;
const post = (path: string, headers: string[], body = ''): string =>
  [`POST ${path} HTTP/1.1`, `Host: ${host()}`, `X-API-Key: ${sharedApi().key}`, ...headers, '', body].join(
    '\r\n',
  );

describe('requests that are not whole or not HTTP', () => {
  const sandbox = fileSandbox();
  const stillWell = async (): Promise<void> => expect(await sandbox().output('echo well')).toBe('well');

  test.each([
    ['noise', '\x16\x03\x01\x02\x00\x01\x00nonsense\r\n\r\n'],
    ['an unknown protocol', 'GET / HTTP/9.9\r\n\r\n'],
    ['an impossible method', 'G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['no host', 'GET /health HTTP/1.1\r\n\r\n'],
    [
      'two lengths',
      'POST /api/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
    ],
    [
      'length and chunks at once',
      'POST /api/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}',
    ],
    ['a negative length', 'POST /api/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}'],
  ])('%s', async (_name, bytes) => {
    expect(await raw(bytes)).toMatch(/^HTTP\/1\.1 4\d\d /);
    await stillWell();
  });

  test('a header larger than the limit', async () => {
    const answer = await raw(`GET /health HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(100_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 413 [\s\S]*"code":"too_large"/);
    await stillWell();
  });

  test('a JSON body that is cut off creates nothing', async () => {
    const before = await sharedApi().list('&status=all');
    const answer = await raw(post('/api/sandboxes', ['Content-Length: 100'], '{"timeout": 0'));
    expect(answer).toMatch(/^(HTTP\/1\.1 400 |$)/);
    const chunked = await raw(post('/api/sandboxes', ['Transfer-Encoding: chunked'], '5\r\n{"tim\r\n'));
    expect(chunked).toMatch(/^(HTTP\/1\.1 400 |$)/);
    expect(await sharedApi().list('&status=all')).toEqual(before);
    await stillWell();
  });

  test('a command whose body is cut off does not run', async () => {
    const body = '{"cmd":"touch","args":["/tmp/must-not-be"]';
    await raw(post(`${sandbox().path}/exec/run`, ['Content-Length: 43'], body));
    expect(await sandbox().output('test -e /tmp/must-not-be || echo nothing')).toBe('nothing');
  });

  test('a declared body beyond the limit is refused before it is sent', async () => {
    const answer = await raw(post('/api/sandboxes', ['Content-Length: 99999999999']), { halfClose: false });
    expect(answer).toMatch(/^HTTP\/1\.1 413 [\s\S]*"code":"too_large"/);
    const file = post(`${sandbox().path}/files?path=/tmp/x`, ['Content-Length: 99999999999999']).replace(
      'POST',
      'PUT',
    );
    expect(await raw(file, { halfClose: false })).toMatch(/^HTTP\/1\.1 413 /);
    await stillWell();
  });

  test('a body where none is due is ignored', async () => {
    const answer = await raw(
      `GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });
});
