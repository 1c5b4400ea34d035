import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { getRequestListener, type HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import { ApiError } from '@opencomputer/protocol';
import type { ServerConfig } from '../config.ts';
import { ClientGone } from './errors.ts';
import { answerRaw } from './raw-answer.ts';

/** Milliseconds for the header of a request, and how often it is looked for those that are late. */
const defaultHeaderTiming = { headerMs: 20_000, lookMs: 5000 };
/** Longer than any answer is silent: a create may take almost five minutes before its first byte. */
const silenceMs = 330_000;
const keepAliveMs = 75_000;
const headerBytes = 64 * 1024;

type Fetch = (request: Request, bindings: HttpBindings) => Response | Promise<Response>;

/** The HTTP server of the process. */
export interface HttpServer {
  readonly url: string;
  /** Answers requests from now on, first those that have waited. Called once. */
  serve(fetch: Fetch, onUpgrade: OnUpgrade): void;
  /** Stops accepting, lets requests finish for up to `graceMs`, then breaks them off. */
  close(graceMs: number): Promise<void>;
}

/** Takes over a connection that asks to become a WebSocket. */
export type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

interface Handlers {
  readonly request: (incoming: IncomingMessage, outgoing: ServerResponse) => void;
  readonly upgrade: OnUpgrade;
}

/**
 * Opens the port. Requests wait until it is said how to serve them: a port may need root, and nothing else of the
 * server shall be done as root.
 * @throws Error when the address is taken or not allowed.
 */
export async function listen(
  address: ServerConfig['listen'],
  { headerMs, lookMs } = defaultHeaderTiming,
): Promise<HttpServer> {
  const handlers = Promise.withResolvers<Handlers>();
  const server = createServer(
    {
      headersTimeout: headerMs,
      // Uploads may take hours; silence is bounded below and JSON bodies have their own limit.
      requestTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      maxHeaderSize: headerBytes,
      connectionsCheckingInterval: lookMs,
      noDelay: true,
      // Other protocols that a client offers, such as h2c, are its offer only: the request is answered as it is.
      shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket',
    },
    (incoming, outgoing) => {
      if (severalHosts(incoming)) return answerRaw(incoming.socket, severalHostsError());
      void handlers.promise.then(({ request }) => request(incoming, outgoing));
    },
  );
  server.timeout = silenceMs;
  server.on('clientError', answerClientError);
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (severalHosts(request)) return answerRaw(socket, severalHostsError());
    void handlers.promise.then(({ upgrade }) => upgrade(request, socket, head));
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(address.port, address.host, resolve);
  await promise.catch((error: Error) => {
    throw new Error(
      `OPENCOMPUTER_LISTEN: cannot listen on ${address.host}:${address.port}: ${error.message}`,
      {
        cause: error,
      },
    );
  });
  const { port } = server.address() as AddressInfo;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  let closed: Promise<void> | undefined;
  return {
    url: `http://${host}:${port}`,
    serve: (fetch, upgrade) => {
      const listener = getRequestListener(fetch as Parameters<typeof getRequestListener>[0], {
        errorHandler: malformed,
      });
      handlers.resolve({ request: (incoming, outgoing) => void listener(incoming, outgoing), upgrade });
    },
    close: (graceMs) => (closed ??= closeServer(server, graceMs)),
  };
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeIdleConnections();
  // Connections become idle one by one as their requests end.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const force = setTimeout(() => server.closeAllConnections(), graceMs);
  await promise;
  clearInterval(sweep);
  clearTimeout(force);
}

function malformed(): Response {
  const error = new ApiError('invalid_request', 'the request line or the Host header is malformed');
  return Response.json(error.toBody(), { status: error.status });
}

/** Requests that never became one: cut off, too large a header, not HTTP. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || socket.bytesWritten > 0) return void socket.destroy();
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const cutOff = error.code === 'HPE_INVALID_EOF_STATE';
  const message = tooLarge
    ? `the header of the request is larger than ${headerBytes} bytes`
    : cutOff
      ? 'the request was cut off'
      : 'the request is not valid HTTP, or took too long';
  answerRaw(socket, new ApiError(tooLarge ? 'too_large' : 'invalid_request', message));
}

/** Which of them is meant is for nobody to guess: proxies and servers choose differently. */
function severalHosts({ rawHeaders }: IncomingMessage): boolean {
  return rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length > 1;
}

function severalHostsError(): ApiError {
  return new ApiError('invalid_request', 'the request has more than one Host header', {
    hint: 'Send one, with the name and port of the server.',
  });
}

interface NodeEnv {
  readonly incoming?: IncomingMessage;
  readonly outgoing?: ServerResponse;
}

function nodeEnv(c: Context): NodeEnv {
  return (c.env ?? {}) as NodeEnv;
}

/** Calls `then` once the answer is complete or broken off; false when there is no connection to watch. */
export function onAnswered(c: Context, then: (status: number, complete: boolean) => void): boolean {
  const { outgoing } = nodeEnv(c);
  outgoing?.once('close', () => then(outgoing.statusCode, outgoing.writableFinished));
  return outgoing !== undefined;
}

/** Aborted with ClientGone when the client goes away before the answer is complete. */
export function clientGone(c: Context): AbortSignal {
  const { outgoing } = nodeEnv(c);
  if (outgoing === undefined) return c.req.raw.signal;
  const controller = new AbortController();
  const gone = (): void => {
    if (!outgoing.writableFinished) controller.abort(new ClientGone());
  };
  if (outgoing.destroyed) gone();
  else outgoing.once('close', gone);
  return controller.signal;
}

/** The body of the request as it arrives, with backpressure. */
export function requestBody(c: Context): Readable {
  const { incoming } = nodeEnv(c);
  if (incoming !== undefined) return incoming;
  const { body } = c.req.raw;
  return body === null ? Readable.from([]) : Readable.fromWeb(body);
}

/**
 * Answers 200 with a stream, with backpressure. A stream that breaks breaks the answer off, so that nobody takes it
 * for complete; a client that goes away ends the stream. `ended` is called in the end, in every case.
 */
export function sendStream(
  c: Context,
  headers: Record<string, string>,
  stream: Readable,
  ended: () => void,
): Response {
  const { outgoing } = nodeEnv(c);
  if (outgoing === undefined) {
    stream.once('close', ended);
    return new Response(Readable.toWeb(stream) as ReadableStream, { headers });
  }
  outgoing.writeHead(200, headers);
  pipeline(stream, outgoing).then(ended, ended);
  return RESPONSE_ALREADY_SENT;
}

/** Answers 200 with the beginning of a body, then breaks the answer off: the status arrives, a whole body never does. */
export function sendBrokenOff(c: Context, headers: Record<string, string>, beginning: string): Response {
  const { outgoing } = nodeEnv(c);
  // A proxy that asks by HTTP/1.0 would take the end of the connection for the end of a body without a length.
  const length = String(Buffer.byteLength(beginning) + 1);
  const all = { ...headers, 'content-length': length, connection: 'close' };
  if (outgoing === undefined) {
    const broken = new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode(beginning)),
      pull: (controller) => controller.error(new Error('broken off')),
    });
    return new Response(broken, { headers: all });
  }
  outgoing.writeHead(200, all);
  outgoing.write(beginning, () => outgoing.destroy());
  return RESPONSE_ALREADY_SENT;
}
