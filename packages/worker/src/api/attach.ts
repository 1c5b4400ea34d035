import { constants, type ClientHttp2Stream } from 'node:http2';
import { type Duplex, Transform } from 'node:stream';
import {
  AgentFrameGuard,
  ApiError,
  attachClientPattern,
  attachProtocol,
  BrokenFrame,
} from '@opencomputer/protocol';
import type { Logger } from 'pino';
import { attachSession } from '../guest/index.ts';
import { type LiveMachines, openBeside, pick } from './sessions.ts';
import type { UpgradeHandler } from './upgrade.ts';

/** How long either side may take to end after the other has. */
const closeMs = 5000;

const offsetPattern = /^(end|\d{1,15})$/;

function attachQuery(url: URL): URLSearchParams {
  const query = pick(url.searchParams, ['from', 'client', 'acks']);
  const from = query.get('from') ?? '0';
  const client = query.get('client') ?? 'none';
  if (!offsetPattern.test(from))
    throw new ApiError('invalid_request', 'from: expected an offset in bytes, or "end"');
  if (!attachClientPattern.test(client))
    throw new ApiError('invalid_request', 'client: expected up to 64 letters, digits, - and _');
  return query;
}

/** Passes on what a guest sends as long as its frames are within bounds. */
function guardFrames(): Transform {
  const guard = new AgentFrameGuard();
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        guard.check(chunk);
      } catch (error) {
        done(error as Error);
        return;
      }
      done(null, chunk);
    },
  });
}

/**
 * Joins a stream of the agent and a connection of the server: each takes no more than the other reads. When the agent
 * ends its stream, what it sent still arrives. When the caller ends, or dies, which looks the same, what it sent still
 * arrives too, and it is attached no longer.
 */
function join(stream: ClientHttp2Stream, socket: Duplex, log: Logger): void {
  const frames = guardFrames();
  stream.pipe(frames).pipe(socket);
  socket.pipe(stream);
  stream.on('error', () => socket.destroy());
  frames.once('error', (error) => {
    if (error instanceof BrokenFrame) log.warn({ err: error }, 'a guest sent a broken frame');
    stream.close(constants.NGHTTP2_CANCEL);
    socket.destroy();
  });
  stream.once('close', () => {
    // Cut off by the end of its connection it may never say that it has ended.
    if (!stream.readableEnded) frames.end();
    socket.unpipe(stream);
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), closeMs);
    socket.once('close', () => clearTimeout(timer));
  });
  const detach = (): void => {
    if (!stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
  };
  socket.once('close', detach);
  socket.once('end', () => {
    stream.once('finish', detach);
    setTimeout(detach, closeMs).unref();
  });
}

/** Attaches callers to sessions: the connection carries the agent's frames, unchanged, until either side ends it. */
export function attachUpgrades(
  machines: LiveMachines,
  log: Logger,
): Readonly<Record<string, UpgradeHandler>> {
  return {
    'POST /v1/machines/:id/exec/:execId/attach': async ({ request, socket, url, id, execId, signal }) => {
      if (request.headers.upgrade !== attachProtocol)
        throw new ApiError('invalid_request', `upgrade to ${attachProtocol} here`);
      const query = attachQuery(url);
      const stream = await openBeside(machines, id, (channel) =>
        attachSession(channel, execId, query, signal),
      );
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${attachProtocol}\r\n\r\n`,
      );
      join(stream, socket, log);
    },
  };
}
