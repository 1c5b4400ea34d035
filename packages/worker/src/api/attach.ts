import { constants, type ClientHttp2Stream } from 'node:http2';
import { type Duplex, Transform } from 'node:stream';
import {
  GuestFrameGuard,
  ApiError,
  attachClientPattern,
  attachProtocol,
  BrokenFrame,
} from '@opencomputer/protocol';
import type { Logger } from 'pino';
import { attachSession } from '../guest/index.ts';
import { openBeside, pick, type RunningMachines } from './sessions.ts';
import type { UpgradeHandler } from './upgrade.ts';

/** How long one side may stay open after the other has ended. */
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

/** Passes on what a guest sends, as long as no frame is too large. */
function guardFrames(): Transform {
  const guard = new GuestFrameGuard();
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
 * Pipes a stream of the guest agent and a connection of the server into each other; each side is read only as fast as
 * the other takes it. When the guest agent ends its stream, what it sent still arrives. When the caller ends its side,
 * or dies (which looks the same), what it sent still arrives too, and then it is detached.
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
    // When its connection breaks, the stream may never report its end.
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

/**
 * Attaches callers to sessions: the connection carries the guest agent's frames, unchanged, until either side ends it.
 */
export function attachUpgrades(
  machines: RunningMachines,
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
