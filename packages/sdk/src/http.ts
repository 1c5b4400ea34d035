import { Deadline, sleep } from './deadline.ts';
import { errorFromAnswer, errorFromFailure, errorFromNonsense, errorFromRedirect } from './error-mapping.ts';
import { OpenComputerError, TimeoutError } from './errors.ts';
import { invalidOption } from './invalid-option.ts';
import { retryPauseMs } from './retry.ts';
import type { Connection, RequestOptions } from './config.ts';
import type { ReconnectOptions } from './connection/reconnect.ts';
import type { WebSocketFactory } from './connection/socket.ts';
import type { Upload } from './upload.ts';

const defaultTimeoutMs = 60_000;
/** Longest delay that timers hold. */
const longestTimeoutMs = 2 ** 31 - 1;

/** One call of the API. */
export interface ApiRequest extends RequestOptions {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below `/api`, with encoded segments. */
  path: string;
  query?: Readonly<Record<string, string | undefined>>;
  json?: unknown;
  upload?: Upload;
  /** Default of `requestTimeoutMs` where it is not the usual one. */
  defaultTimeoutMs?: number;
  /** False where the caller itself retries. Default true. */
  retry?: boolean;
}

/** An answer whose body has not been read, and the clock that runs against it. */
export interface OpenAnswer {
  readonly response: Response;
  readonly deadline: Deadline;
  /** The error for a failure to read the body. */
  readonly explain: (failure: unknown) => unknown;
}

/** Sends requests to one server with one key; used by everything that calls it. */
export class HttpClient {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Address of the API; ends in `/api`. */
  get apiUrl(): string {
    return this.#connection.apiUrl;
  }

  /** Empty when there is none. */
  get apiKey(): string {
    return this.#connection.apiKey;
  }

  get webSocket(): WebSocketFactory | undefined {
    return this.#connection.webSocket;
  }

  get reconnect(): ReconnectOptions | false | undefined {
    return this.#connection.reconnect;
  }

  /** Headers that identify the caller. */
  authHeaders(): Record<string, string> {
    return this.apiKey === '' ? {} : { 'X-API-Key': this.apiKey };
  }

  /** A deadline for one call with these options. */
  deadline(options: Pick<ApiRequest, 'signal' | 'requestTimeoutMs' | 'defaultTimeoutMs'>): Deadline {
    return new Deadline(this.#timeoutMs(options), options.signal);
  }

  /** Sends a request and parses the JSON of the answer: an object or an array. */
  async json(request: ApiRequest): Promise<object> {
    const { value } = await this.jsonWithHeaders(request);
    return value;
  }

  async jsonWithHeaders(request: ApiRequest): Promise<{ value: object; headers: Headers }> {
    return this.exchange(request, async ({ response, deadline }) => {
      const text = await response.text();
      deadline.release();
      const value = parseJson(response, text);
      if (isLateFailure(value)) throw errorFromAnswer(response.status, response.headers, text);
      return { value, headers: response.headers };
    });
  }

  /** Sends a request whose answer is not needed. */
  async done(request: ApiRequest): Promise<void> {
    await this.exchange(request, async ({ response, deadline }) => {
      await response.arrayBuffer();
      deadline.release();
    });
  }

  /**
   * Sends a request, again where that is safe, until one attempt succeeds. `consume` gets the successful answer; it
   * must end with the body read, and the deadline released or passed on.
   */
  async exchange<T>(request: ApiRequest, consume: (answer: OpenAnswer) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(request, consume);
      } catch (error) {
        const pause = retryPauseMs(error, attempt, {
          idempotent: request.method === 'GET' || request.method === 'DELETE',
          replayable: request.upload?.replayable ?? true,
        });
        if (pause === undefined || request.retry === false) throw error;
        await sleep(pause, request.signal);
      }
    }
  }

  async #attempt<T>(request: ApiRequest, consume: (answer: OpenAnswer) => Promise<T>): Promise<T> {
    request.signal?.throwIfAborted();
    const url = this.#url(request);
    const deadline = this.deadline(request);
    let sourceFailure: { error: unknown } | undefined;
    const explain = (failure: unknown): unknown => {
      if (failure instanceof OpenComputerError) return failure;
      if (request.signal?.aborted) return request.signal.reason;
      if (deadline.expired) return timeoutError(request, deadline.limitMs);
      return sourceFailure === undefined ? errorFromFailure(url, failure) : sourceFailure.error;
    };
    try {
      const body = request.upload?.open({
        signal: deadline.signal,
        onProgress: () => deadline.restart(),
        onSourceError: (error) => {
          sourceFailure ??= { error };
        },
      });
      const response = await fetch(url, this.#init(request, deadline, body));
      if (!response.ok) throw await failedAnswer(url, response);
      return await consume({ response, deadline, explain });
    } catch (failure) {
      const error = explain(failure);
      // Also stops an upload that the server has refused.
      deadline.abort();
      throw error;
    }
  }

  #init(
    request: ApiRequest,
    deadline: Deadline,
    body: ReadableStream<Uint8Array> | Uint8Array | undefined,
  ): RequestInit {
    const headers = this.authHeaders();
    if (request.json !== undefined) headers['Content-Type'] = 'application/json';
    if (request.upload !== undefined) headers['Content-Type'] = 'application/octet-stream';
    if (request.upload?.size !== undefined) headers['Content-Length'] = String(request.upload.size);
    const init: RequestInit = {
      method: request.method,
      headers,
      redirect: 'manual',
      signal: deadline.signal,
    };
    if (request.json !== undefined) init.body = JSON.stringify(request.json);
    if (body !== undefined) {
      init.body = body;
      if (body instanceof ReadableStream) Object.assign(init, { duplex: 'half' });
    }
    return init;
  }

  #url(request: ApiRequest): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) query.append(name, wellFormed(name, value));
    const text = query.toString();
    return `${this.#connection.apiUrl}${request.path}${text === '' ? '' : `?${text}`}`;
  }

  #timeoutMs(request: Pick<ApiRequest, 'requestTimeoutMs' | 'defaultTimeoutMs'>): number {
    const limit =
      request.requestTimeoutMs ??
      this.#connection.requestTimeoutMs ??
      request.defaultTimeoutMs ??
      defaultTimeoutMs;
    if (!(limit >= 0))
      throw invalidOption(
        `requestTimeoutMs is not a number of milliseconds: ${limit}`,
        'Give 0 or more; 0 means no limit.',
      );
    return limit > longestTimeoutMs ? 0 : limit;
  }
}

/** A lone surrogate would silently become another character, and so the name would be another. */
function wellFormed(name: string, value: string): string {
  if (typeof value !== 'string')
    throw invalidOption(`${name} is not a string but ${typeof value}`, 'Give a string.');
  if (!value.isWellFormed())
    throw invalidOption(`${name} holds half of a surrogate pair`, 'Names are sent as UTF-8.');
  return value;
}

async function failedAnswer(url: string, response: Response): Promise<OpenComputerError> {
  if (response.status >= 300 && response.status < 400) {
    await response.body?.cancel();
    return errorFromRedirect(url, response.status, response.headers.get('location'));
  }
  return errorFromAnswer(response.status, response.headers, await response.text());
}

function parseJson(response: Response, text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw errorFromNonsense(response.url, response.status, text);
}

/** Where an answer takes long, its header is sent before it is known whether the call fails. */
function isLateFailure(value: object): boolean {
  return 'error' in value && 'code' in value && 'hint' in value && typeof value.error === 'string';
}

/** A call that took longer than its limit. */
export function timeoutError(
  request: Pick<ApiRequest, 'method' | 'path' | 'upload'>,
  limitMs: number,
): TimeoutError {
  const what = request.upload === undefined ? 'had no answer after' : 'made no progress for';
  return new TimeoutError(`${request.method} ${request.path} ${what} ${limitMs} ms`, {
    code: 'request_timeout',
    hint: 'Raise requestTimeoutMs (0: no limit) where this may take longer, or look whether the server is overloaded.',
  });
}
