import { once } from 'node:events';
import {
  createServer as createHttp2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createNetServer, type Server, type Socket } from 'node:net';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { guestPaths, type HandshakeAnswer } from '@opencomputer/protocol';
import { onTestFinished } from 'vitest';
import { scratchDirectory } from '../../testing/scratch.ts';
import { GuestChannel } from '../channel.ts';

/** One call as a guest sees it. */
export interface GuestCall {
  stream: ServerHttp2Stream;
  method: string;
  path: string;
  /** Reads the body to its end. */
  body: () => Promise<string>;
}

export type GuestHandler = (call: GuestCall) => void | Promise<void>;

export interface FakeGuest {
  /** Connections so far. */
  connections: number;
  /** Handshakes so far, as they were sent. */
  handshakes: { epoch: string; protocol: number; identity?: unknown }[];
  sessions: Set<ServerHttp2Session>;
  sockets: Set<Socket>;
}

/** Answers a call with JSON. */
export function answerJson(stream: ServerHttp2Stream, value: unknown, status = 200): void {
  stream.respond({ ':status': status, 'content-type': 'application/json' });
  stream.end(JSON.stringify(value));
}

/** What an honest guest agent answers to a handshake. */
export function honestHandshake(epoch: string, generation = 2): HandshakeAnswer {
  return {
    protocol: 1,
    generation,
    version: '0.1.0',
    epoch,
    bootId: 'b',
    uptimeMs: 1,
    agentUptimeMs: 1,
    init: 'systemd',
    memoryBytes: 1,
  };
}

/** A path for the socket of a guest of the running test. */
export async function guestSocket(): Promise<string> {
  return join(await scratchDirectory(), 'agent.sock');
}

async function listen(server: Server, path: string, sockets: Set<Socket>): Promise<void> {
  await rm(path, { force: true });
  server.listen(path);
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

/** A guest that speaks HTTP/2 and answers calls by `handler`. Its handshake is honest unless `handshake` is given. */
export async function startGuest(
  path: string,
  handler: GuestHandler,
  handshake?: GuestHandler,
): Promise<FakeGuest> {
  const guest: FakeGuest = { connections: 0, handshakes: [], sessions: new Set(), sockets: new Set() };
  const server = createHttp2Server({ settings: { initialWindowSize: 1024 * 1024 } });
  server.on('session', (session) => {
    guest.connections++;
    guest.sessions.add(session);
    session.on('error', () => undefined);
    session.on('close', () => guest.sessions.delete(session));
  });
  server.on('sessionError', () => undefined);
  server.on('connection', (socket: Socket) => {
    guest.sockets.add(socket);
    socket.on('close', () => guest.sockets.delete(socket));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const target = headers[':path'] ?? '';
    const call: GuestCall = {
      stream,
      method: headers[':method'] ?? '',
      path: target,
      body: async () => {
        let text = '';
        for await (const part of stream.setEncoding('utf8') as AsyncIterable<string>) text += part;
        return text;
      },
    };
    void (async () => {
      if (target !== guestPaths.handshake) return handler(call);
      if (handshake !== undefined) return handshake(call);
      const request = JSON.parse(await call.body()) as FakeGuest['handshakes'][number];
      guest.handshakes.push(request);
      answerJson(stream, honestHandshake(request.epoch));
    })().catch((error: unknown) => {
      // The caller hung up while the guest still worked on its answer.
      if (!stream.destroyed) stream.destroy(error as Error);
    });
  });
  await listen(server, path, guest.sockets);
  return guest;
}

/** A guest that may do anything with its port. */
export async function startRawGuest(
  path: string,
  onConnection: (socket: Socket) => void,
): Promise<{ connections: number; sockets: Set<Socket> }> {
  const guest = { connections: 0, sockets: new Set<Socket>() };
  const server = createNetServer((socket) => {
    guest.connections++;
    guest.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => guest.sockets.delete(socket));
    socket.resume();
    onConnection(socket);
  });
  await listen(server, path, guest.sockets);
  return guest;
}

/** A channel of the running test. */
export function openChannel(socketPath: string): GuestChannel {
  const channel = new GuestChannel({ socketPath, identity: () => undefined });
  onTestFinished(() => channel.close());
  return channel;
}
