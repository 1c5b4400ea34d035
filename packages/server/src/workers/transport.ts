import { Agent, type IncomingMessage, request as httpRequest, type RequestOptions } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ApiError, attachProtocol } from '@opencomputer/protocol';
import type { Metrics } from '../observe/metrics.ts';

/** The worker could not be reached, or the connection broke before it answered. */
export class WorkerUnreachable extends ApiError {
  /** True when the request cannot have arrived. */
  readonly neverSent: boolean;

  constructor(message: string, neverSent: boolean, cause?: unknown) {
    super('worker_unavailable', message, { cause });
    this.neverSent = neverSent;
  }
}

export interface WorkerCall {
  /** For the metrics. */
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly json?: unknown;
  /** A body to stream; when it is cut off the request is broken off too. */
  readonly stream?: { readonly body: Readable; readonly length?: number | undefined };
  /**
   * Until the header of the answer; 0 is for ever. Counted from the end of the body with `stream`, and anew whenever the
   * worker says that the answer is on the way.
   */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

const neverSentCodes = new Set(['ECONNREFUSED', 'ENOENT', 'EACCES', 'EAGAIN', 'EMFILE', 'ENFILE']);
const errorBodyBytes = 256 * 1024;

/** HTTP towards one worker over its unix socket, with connections kept. */
export class WorkerTransport {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 64 });
  readonly #metrics: Metrics | undefined;

  constructor(socketPath: string, metrics?: Metrics) {
    this.#socketPath = socketPath;
    this.#metrics = metrics;
  }

  /**
   * Sends a request and returns the answer once its header is there. The caller reads or destroys the body.
   * @throws WorkerUnreachable; ApiError as the worker answered it, or `worker_timeout` when it took too long.
   */
  async open(call: WorkerCall): Promise<IncomingMessage> {
    const end = this.#metrics?.workerSeconds.startTimer({ call: call.name });
    const response = await this.#send(call, call.stream === undefined && call.method !== 'POST');
    end?.();
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    return refusalOf(response);
  }

  /** Sends a request and reads the JSON of the answer, at most `maxBytes`; undefined for an empty answer. */
  async json(call: WorkerCall, maxBytes: number): Promise<unknown> {
    const response = await this.open(call);
    const body = await readBody(response, maxBytes);
    if (body.length === 0) return undefined;
    const value = parseJson(body);
    if (value === undefined) throw new ApiError('internal', 'the worker answered something that is not JSON');
    return value;
  }

  /** Sends a request to leave HTTP. @returns the connection afterwards, which the caller closes; throws as `open` does */
  async upgrade(call: WorkerCall): Promise<Duplex> {
    const end = this.#metrics?.workerSeconds.startTimer({ call: call.name });
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    const request = httpRequest({
      agent: false,
      socketPath: this.#socketPath,
      method: call.method,
      path: call.path,
      headers: { connection: 'Upgrade', upgrade: attachProtocol, 'content-length': 0 },
    });
    const timer = setTimeout(() => {
      request.destroy(
        new ApiError('worker_timeout', `the worker did not answer within ${call.timeoutMs / 1000} s`),
      );
    }, call.timeoutMs);
    request.once('upgrade', (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    request.once('response', (response) => resolve(refusalOf(response)));
    request.on('error', (error) => reject(toUnreachable(error, false)));
    request.end();
    return promise.finally(() => {
      clearTimeout(timer);
      end?.();
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(call: WorkerCall, mayRepeat: boolean): Promise<IncomingMessage> {
    try {
      return await this.#attempt(call);
    } catch (error) {
      // A kept connection may have been closed by the worker in the same moment: that says nothing about the worker.
      if (mayRepeat && error instanceof WorkerUnreachable && error.cause === staleConnection)
        return this.#attempt(call);
      throw error;
    }
  }

  #attempt(call: WorkerCall): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    // A string goes out with the header in one write.
    const payload = call.json === undefined ? undefined : JSON.stringify(call.json);
    const options: RequestOptions = {
      agent: this.#agent,
      socketPath: this.#socketPath,
      method: call.method,
      path: call.path,
      headers: requestHeaders(call, payload),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    };
    let timer: NodeJS.Timeout | undefined;
    const request = httpRequest(options);
    const startTimer = (): void => {
      if (call.timeoutMs === 0) return;
      timer = setTimeout(() => {
        request.destroy(
          new ApiError('worker_timeout', `the worker did not answer within ${call.timeoutMs / 1000} s`),
        );
      }, call.timeoutMs);
    };
    request.once('response', (response) => {
      clearTimeout(timer);
      resolve(response);
    });
    request.on('information', () => timer?.refresh());
    request.on('error', (error) => {
      clearTimeout(timer);
      reject(call.signal?.aborted ? call.signal.reason : toUnreachable(error, request.reusedSocket));
    });
    if (call.stream === undefined) {
      startTimer();
      request.end(payload);
    } else {
      // A failure of the source must break the request off, so that the worker does not take it for complete.
      pipeline(call.stream.body, request).then(startTimer, (error: unknown) => {
        request.destroy(error as Error);
        reject(toUnreachable(error as Error, false));
      });
    }
    return promise;
  }
}

/** @throws ApiError as the worker answered it */
async function refusalOf(response: IncomingMessage): Promise<never> {
  const body = await readBody(response, errorBodyBytes);
  throw ApiError.fromBody(parseJson(body), response.statusCode === 503 ? 'worker_unavailable' : 'internal');
}

const staleConnection = new Error('the worker closed a kept connection');

function requestHeaders(call: WorkerCall, payload: string | undefined): Record<string, string | number> {
  if (payload !== undefined)
    return { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
  if (call.stream === undefined) return call.method === 'POST' ? { 'content-length': 0 } : {};
  const headers = { 'content-type': 'application/octet-stream' };
  const { length } = call.stream;
  return length === undefined
    ? { ...headers, 'transfer-encoding': 'chunked' }
    : { ...headers, 'content-length': length };
}

function toUnreachable(error: Error, reusedSocket: boolean): Error {
  if (error instanceof ApiError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (neverSentCodes.has(code))
    return new WorkerUnreachable(`the worker cannot be reached (${code})`, true, error);
  const stale = reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE');
  return new WorkerUnreachable(
    `the connection to the worker broke (${code || error.message})`,
    false,
    stale ? staleConnection : error,
  );
}

/** Reads a body up to a bound. @throws ApiError when it is longer, WorkerUnreachable when it breaks off. */
async function readBody(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes)
        throw new ApiError('internal', `the worker answered more than ${maxBytes} bytes where less was due`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof ApiError ? error : toUnreachable(error as Error, false);
  }
  const [first] = chunks;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
