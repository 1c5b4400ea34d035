import { ConnectionError } from '../errors.ts';
import { timeoutError } from '../http.ts';
import { closeError } from './failures.ts';
import { webSocketKind } from './socket.ts';
import type { RequestOptions } from '../config.ts';
import type { Deadline } from '../deadline.ts';
import type { HttpClient } from '../http.ts';
import type { WebSocketLike } from './socket.ts';

/** The address of a session's socket. */
export interface SessionAddress {
  readonly http: HttpClient;
  readonly sessionId: string;
  /** Below `/api`. */
  readonly path: string;
  /** A path that is requested to find out why the socket was refused, which WebSockets do not report. */
  readonly probePath: string;
  /** The sandbox's current token, which is used instead of the key where it must be part of a URL. */
  token(): string | undefined;
}

/** Called for every message, including the first, and at the end of a socket that was in use. */
export interface SocketHandlers {
  message(data: unknown): void;
  close(code: number, reason: string): void;
}

type Outcome = 'ready' | 'refused' | { code: number; reason: string };

/**
 * Opens the socket of a session, and waits for the first message, which means that the session exists.
 *
 * @throws the typed error of the server's refusal; ConnectionError when it cannot be reached; TimeoutError; the reason
 * of `signal`
 */
export async function openSocket(
  address: SessionAddress,
  query: Record<string, string>,
  handlers: SocketHandlers,
  options: RequestOptions,
): Promise<WebSocketLike> {
  options.signal?.throwIfAborted();
  const { http } = address;
  const deadline = http.deadline(options);
  try {
    const socket = await createWebSocket(address, query);
    const outcome = await ready(socket, handlers, deadline);
    if (outcome === 'ready') return socket;
    if (options.signal?.aborted) throw options.signal.reason;
    if (deadline.expired) throw timeoutError({ method: 'GET', path: address.path }, deadline.limitMs);
    if (outcome !== 'refused') throw closeError(address.sessionId, outcome.code, outcome.reason);
    // Resolves when the server accepts this session: then something between client and server blocks WebSockets.
    await http.done({ method: 'GET', path: address.probePath, retry: false, ...options });
    throw new ConnectionError(`a WebSocket to ${new URL(http.apiUrl).origin} could not be opened`, {
      code: 'connection_failed',
      hint:
        query['from'] === '0'
          ? 'The server answers plain requests: a proxy on the way must let WebSocket upgrades pass.'
          : `Look whether from (${query['from']}) is beyond all that was printed, or whether a proxy stops WebSockets.`,
      requestSent: true,
    });
  } finally {
    deadline.release();
  }
}

async function createWebSocket(
  address: SessionAddress,
  query: Record<string, string>,
): Promise<WebSocketLike> {
  const { http } = address;
  const token = address.token();
  const kind = await webSocketKind(http.webSocket);
  const url = new URL(http.apiUrl.replace(/^http/, 'ws') + address.path);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  if (!kind.sendsHeaders && token !== undefined) url.searchParams.set('token', token);
  else if (!kind.sendsHeaders && http.apiKey !== '') url.searchParams.set('api_key', http.apiKey);
  const socket = kind.create(url.href, { headers: kind.sendsHeaders ? http.authHeaders() : {} });
  socket.binaryType = 'arraybuffer';
  return socket;
}

function ready(socket: WebSocketLike, handlers: SocketHandlers, deadline: Deadline): Promise<Outcome> {
  return new Promise((resolve) => {
    let state: 'opening' | 'open' | 'ready' | 'given up' = 'opening';
    const giveUp = (): void => {
      state = 'given up';
      resolve('refused');
      socket.close();
    };
    socket.addEventListener('open', () => {
      if (state === 'opening') state = 'open';
    });
    socket.addEventListener('message', ({ data }) => {
      if (state === 'given up') return;
      if (state !== 'ready') {
        state = 'ready';
        deadline.signal.removeEventListener('abort', giveUp);
        resolve('ready');
      }
      handlers.message(data);
    });
    // Every error is followed by a close.
    socket.addEventListener('error', () => undefined);
    socket.addEventListener('close', ({ code, reason }) => {
      deadline.signal.removeEventListener('abort', giveUp);
      if (state === 'ready') handlers.close(code, reason);
      else resolve(state === 'open' ? { code, reason } : 'refused');
    });
    if (deadline.signal.aborted) giveUp();
    else deadline.signal.addEventListener('abort', giveUp, { once: true });
  });
}
