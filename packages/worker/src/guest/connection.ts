import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import { ApiError } from '@opencomputer/protocol';
import { systemErrorCode } from '../host/errors.ts';

/** Bytes of one stream, and of all streams, that the guest may send ahead of the reader. */
const streamWindowBytes = 1024 * 1024;
const sessionWindowBytes = 16 * 1024 * 1024;

function connectUnix(path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ path });
    const abort = (): void => {
      socket.destroy();
      reject(
        new ApiError('guest_timeout', 'the port of the guest agent did not accept a connection in time'),
      );
    };
    socket.once('connect', () => {
      signal.removeEventListener('abort', abort);
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error) => {
      signal.removeEventListener('abort', abort);
      reject(
        new ApiError(
          'guest_failed',
          `the port of the guest agent cannot be reached (${systemErrorCode(error) ?? error.message})`,
          {
            cause: error,
          },
        ),
      );
    });
    signal.addEventListener('abort', abort, { once: true });
  });
}

/**
 * Opens an HTTP/2 connection to the guest agent's port of a machine. It bounds what a hostile guest can make us hold:
 * headers, windows, no pushed streams.
 * @throws ApiError `guest_failed` or `guest_timeout`
 */
export async function openConnection(socketPath: string, signal: AbortSignal): Promise<ClientHttp2Session> {
  signal.throwIfAborted();
  const socket = await connectUnix(socketPath, signal);
  const session = connectHttp2('http://agent', {
    createConnection: () => socket,
    maxSessionMemory: 64,
    maxHeaderListPairs: 64,
    peerMaxConcurrentStreams: 4096,
    settings: {
      enablePush: false,
      initialWindowSize: streamWindowBytes,
      maxFrameSize: 1024 * 1024,
      maxHeaderListSize: 16 * 1024,
    },
  });
  // Every request reports its own errors; without a listener here, a broken session would end the process.
  session.on('error', () => session.destroy());
  session.once('connect', () => session.setLocalWindowSize(sessionWindowBytes));
  return session;
}

/**
 * Ends a connection, in a later turn of the event loop: Node aborts the whole process when a session is destroyed while
 * it reads header fields that are over its limits, and a guest can send such fields.
 * @param reason the error of calls that wait on it
 */
export function endConnection(session: ClientHttp2Session, reason?: Error): void {
  setImmediate(() => session.destroy(reason));
}
