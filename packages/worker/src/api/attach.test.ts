import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { ApiError, encodeGuestFrame } from '@opencomputer/protocol';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  answerJson,
  type FakeGuest,
  type GuestHandler,
  guestSocket,
  honestHandshake,
  openChannel,
  startGuest,
} from '../guest/testing/guest-agent.ts';
import { Gate } from '../machine/gate.ts';
import { quiet } from '../testing/log.ts';
import { scratchDirectory, until } from '../testing/scratch.ts';
import { attachUpgrades } from './attach.ts';
import { makeHttpServer } from './http.ts';
import { serveUpgrades } from './upgrade.ts';

const machineId = 'sb-01234567';
const target = `/v1/machines/${machineId}/exec/0123abcd/attach`;

interface Lab {
  socketPath: string;
  guest: FakeGuest;
  gate: Gate;
  hangUp: () => void;
  warnings: unknown[];
}

/** A worker whose one machine has this guest. */
async function lab(handler: GuestHandler, generation = 2): Promise<Lab> {
  const agentPath = await guestSocket();
  const guest = await startGuest(agentPath, handler, async ({ stream, body }) => {
    const { epoch } = JSON.parse(await body()) as { epoch: string };
    answerJson(stream, honestHandshake(epoch, generation));
  });
  const channel = openChannel(agentPath);
  const gate = new Gate();
  const machines = {
    running: (id: string) => {
      if (id !== machineId) throw new ApiError('sandbox_not_found', `no machine ${id}`);
      return { gate, channel };
    },
  };
  const warnings: unknown[] = [];
  const log = { ...quiet, warn: (fields: unknown) => void warnings.push(fields) };
  const server = makeHttpServer({}, log);
  const breakOff = serveUpgrades(server, attachUpgrades(machines, log), log);
  const socketPath = join(await scratchDirectory(), 'worker.sock');
  server.listen(socketPath);
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    breakOff();
  });
  return { socketPath, guest, gate, hangUp: () => channel.hangUp(), warnings };
}

/** Attaches. @returns the upgraded connection, or the answer that refused it */
async function attach(
  { socketPath }: Lab,
  path = target,
  upgrade = 'opencomputer-exec',
): Promise<{ socket?: Socket; status: number; code?: unknown }> {
  const headers = { connection: 'Upgrade', upgrade };
  const request = httpRequest({ socketPath, method: 'POST', path, headers });
  const answered = new Promise<{ response: IncomingMessage; socket?: Socket; head?: Buffer }>(
    (resolve, reject) => {
      request.once('upgrade', (response, socket, head) => resolve({ response, socket, head }));
      request.once('response', (response) => resolve({ response }));
      request.once('error', reject);
    },
  );
  request.end();
  const { response, socket, head } = await answered;
  const status = response.statusCode ?? 0;
  if (socket !== undefined) {
    socket.on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
    if (head !== undefined && head.length > 0) socket.unshift(head);
    return { socket, status };
  }
  let text = '';
  for await (const part of response.setEncoding('utf8') as AsyncIterable<string>) text += part;
  return { status, code: (JSON.parse(text) as { code: unknown }).code };
}

async function attached(worker: Lab, path = target): Promise<Socket> {
  const { socket, status } = await attach(worker, path);
  if (socket === undefined) throw new Error(`refused with ${status}`);
  return socket;
}

async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

/** A guest that gives its stream to the test. */
function held(): { handler: GuestHandler; stream: Promise<ServerHttp2Stream>; path: () => string } {
  const { promise, resolve } = Promise.withResolvers<ServerHttp2Stream>();
  let seen = '';
  return {
    stream: promise,
    path: () => seen,
    handler: ({ stream, path }) => {
      seen = path;
      stream.respond({ ':status': 200 });
      resolve(stream);
    },
  };
}

describe('attach', () => {
  test('passes frames on in both directions', async () => {
    const guest = held();
    const socket = await attached(await lab(guest.handler), `${target}?from=7&client=me&acks=true&other=1`);
    const stream = await guest.stream;
    expect(guest.path()).toBe('/v1/exec/0123abcd/attach?from=7&client=me&acks=true');
    const input: Buffer[] = [];
    stream.on('data', (part: Buffer) => input.push(part));
    const typed = encodeGuestFrame(0, Buffer.from('typed'));
    socket.write(typed);
    await until(() => Buffer.concat(input).equals(typed));
    const output = Buffer.concat([encodeGuestFrame(1, Buffer.from('out')), encodeGuestFrame(99)]);
    stream.end(output);
    expect(await readAll(socket)).toEqual(output);
  });

  test('delivers the input of a caller that ends at once, and detaches it', async () => {
    const guest = held();
    const socket = await attached(await lab(guest.handler));
    const stream = await guest.stream;
    stream.on('error', () => undefined);
    const input: Buffer[] = [];
    stream.on('data', (part: Buffer) => input.push(part));
    const closed = once(stream, 'close');
    const typed = encodeGuestFrame(0, Buffer.alloc(50_000, 5));
    socket.end(typed);
    await closed;
    expect(Buffer.concat(input)).toEqual(typed);
  });

  test('delivers all that an agent sent which ends its stream while the caller may still write', async () => {
    const guest = held();
    const socket = await attached(await lab(guest.handler));
    const output = encodeGuestFrame(2, Buffer.alloc(60_000, 3));
    const stream = await guest.stream;
    stream.on('error', () => undefined);
    for (let turn = 0; turn < 40; turn++) stream.write(output);
    stream.end(encodeGuestFrame(3, Buffer.from([0, 0, 0, 7])));
    const all = await readAll(socket);
    expect(all).toHaveLength(40 * output.length + 9);
    expect(all.subarray(-9)).toEqual(encodeGuestFrame(3, Buffer.from([0, 0, 0, 7])));
  });

  test('lets a guest send no more than the caller reads', async () => {
    const guest = held();
    const socket = await attached(await lab(guest.handler));
    const stream = await guest.stream;
    const frame = encodeGuestFrame(1, Buffer.alloc(64 * 1024 - 5, 9));
    const total = 512;
    let sent = 0;
    const send = async (): Promise<void> => {
      for (; sent < total; sent++) if (!stream.write(frame)) await once(stream, 'drain');
      stream.end();
    };
    const sending = send();
    let before = -1;
    await until(() => {
      const stuck = sent === before && sent > 0;
      before = sent;
      return stuck;
    });
    expect(sent).toBeLessThan(total / 2);
    expect(await readAll(socket)).toHaveLength(total * frame.length);
    await sending;
  });

  test('ends with a broken frame, and says so in the log', async () => {
    const guest = held();
    const worker = await lab(guest.handler);
    const socket = await attached(worker);
    const stream = await guest.stream;
    stream.on('error', () => undefined);
    const closed = once(stream, 'close');
    stream.write(Buffer.of(1, 255, 255, 255, 255));
    await once(socket.resume(), 'close');
    await closed;
    expect(worker.warnings).toHaveLength(1);
  });

  test('the guest learns that the caller goes away, and the caller that the channel breaks', async () => {
    const guest = held();
    const socket = await attached(await lab(guest.handler));
    const stream = await guest.stream;
    stream.on('error', () => undefined);
    const closed = once(stream, 'close');
    socket.destroy();
    await closed;
    const other = held();
    const worker = await lab(other.handler);
    const second = await attached(worker);
    await other.stream;
    worker.hangUp();
    await once(second.resume(), 'close');
  });

  test('waits for a change of the machine, and holds none up', async () => {
    const guest = held();
    const worker = await lab(guest.handler);
    await worker.gate.close(0);
    const attaching = attached(worker);
    expect(worker.guest.connections).toBe(0);
    worker.gate.open();
    await attaching;
    // If the stream counted as a call inside the gate, this would wait for it.
    await worker.gate.close(60_000);
  });
});

describe('attach is refused', () => {
  const refusing =
    (status: number, code: string): GuestHandler =>
    ({ stream }) =>
      answerJson(stream, { error: { code, message: 'no' } }, status);

  test('where the agent is too old', async () => {
    const worker = await lab(refusing(404, 'not_found'), 1);
    expect(await attach(worker)).toEqual({ status: 409, code: 'unsupported_guest' });
  });

  test('as the agent refuses', async () => {
    expect(await attach(await lab(refusing(404, 'not_found')))).toEqual({
      status: 404,
      code: 'exec_not_found',
    });
    expect(await attach(await lab(refusing(400, 'invalid_offset')))).toEqual({
      status: 400,
      code: 'invalid_request',
    });
  });

  test('for what makes no sense', async () => {
    const worker = await lab(refusing(500, 'internal'));
    for (const query of ['from=-1', 'from=x', `client=${'a'.repeat(65)}`, 'client=a%20b'])
      expect(await attach(worker, `${target}?${query}`)).toEqual({ status: 400, code: 'invalid_request' });
    expect((await attach(worker, target, 'websocket')).status).toBe(400);
    expect((await attach(worker, '/v1/nothing')).status).toBe(404);
    expect((await attach(worker, target.replace(machineId, 'sb-ffffffff'))).code).toBe('sandbox_not_found');
  });

  test('and other calls of a connection that asks for an upgrade', async () => {
    const { socketPath } = await lab(refusing(500, 'internal'));
    const socket = connect({ path: socketPath });
    socket.write('GET // HTTP/1.1\r\nhost: w\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1.1 404 /);
    socket.destroy();
  });
});
