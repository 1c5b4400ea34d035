import {
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2';
import {
  ApiError,
  type ErrorCode,
  guestErrorSchema,
  type JsonBounds,
  shortJson,
} from '@opencomputer/protocol';
import type { z } from 'zod';
import { AnswerDeadline } from './deadline.ts';
import { Heartbeat } from './heartbeat.ts';
import { guarded, piecesWithin, readBounded } from './pieces.ts';

/** Bounds of one call to the guest agent. */
export interface CallBounds {
  /**
   * Milliseconds until the answer's head, and its body if it is JSON, must have arrived. Time in which answers of other
   * calls arrive first does not count.
   */
  deadlineMs: number;
  /** Largest JSON answer in bytes. */
  answerBytes?: number;
  signal?: AbortSignal;
  /** The media type that is asked for; a guest agent that does not know it answers with JSON. */
  accept?: string;
}

const defaultAnswerBytes = 64 * 1024;
const errorAnswerBytes = 16 * 1024;
/** The shortest time limit of a body whose head came late, in milliseconds. */
const bodyMs = 1000;

const errorCodes = new Map<string, ErrorCode>(
  Object.entries({
    not_found: 'file_not_found',
    is_directory: 'is_directory',
    not_directory: 'not_directory',
    not_regular: 'not_regular_file',
    not_permitted: 'forbidden',
    invalid_path: 'invalid_path',
    no_space: 'no_space',
    start_failed: 'command_not_started',
    too_many_sessions: 'too_many_commands',
    too_large: 'too_large',
    ended: 'session_ended',
    not_kept: 'result_not_kept',
    not_terminal: 'not_terminal',
    invalid_offset: 'invalid_request',
  } satisfies Record<string, ErrorCode>),
);

/** Waits for the head of an answer. */
function awaitHead(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders & IncomingHttpStatusHeader> {
  const { session } = stream;
  return new Promise((resolve, reject) => {
    const close = (): void => {
      const how =
        session === undefined || session.closed || session.destroyed
          ? 'the connection to the guest ended before its answer'
          : `the guest closed the call without an answer (HTTP/2 code ${stream.rstCode})`;
      reject(new ApiError('guest_failed', how));
    };
    stream.once('response', (headers) => {
      stream.off('close', close);
      resolve(headers);
    });
    stream.once('error', reject);
    stream.once('close', close);
  });
}

/** The error that an answer of the guest agent stands for. */
async function guestError(stream: ClientHttp2Stream, status: number, notFound: ErrorCode): Promise<ApiError> {
  const body = await readBounded(guarded(stream as AsyncIterable<Buffer>, shortJson), errorAnswerBytes);
  let parsed;
  try {
    parsed = guestErrorSchema.safeParse(JSON.parse(body.toString('utf8')));
  } catch {
    return new ApiError('guest_failed', `the guest answered ${status} with a body that is not JSON`);
  }
  if (!parsed.success) return new ApiError('guest_failed', `the guest answered ${status} without an error`);
  const { code, message } = parsed.data.error;
  const mapped = code === 'not_found' ? notFound : errorCodes.get(code);
  return new ApiError(mapped ?? 'guest_failed', message.slice(0, 1000));
}

export interface GuestStream {
  status: number;
  headers: IncomingHttpHeaders;
  stream: ClientHttp2Stream;
  /** The deadline of the call, stopped. What is left of it is for the body, where that is read as a whole. */
  deadline: AnswerDeadline;
}

/**
 * Begins a call and waits for the head of its answer. A status outside 2xx becomes an error.
 * @param notFound what `not_found` of the guest agent means for this call
 */
export async function begin(
  session: ClientHttp2Session,
  method: string,
  path: string,
  bounds: CallBounds & {
    notFound?: ErrorCode;
    upload?: (stream: ClientHttp2Stream) => Promise<void>;
    body?: string;
    /** The body of the request stays open while the answer is read. */
    duplex?: boolean;
  },
): Promise<GuestStream> {
  if (bounds.signal?.aborted) throw new ApiError('guest_failed', 'the call was given up');
  const stream = openStream(session, method, path, bounds);
  Heartbeat.of(session)?.watch(stream);
  const deadline = new AnswerDeadline(session, bounds.deadlineMs);
  deadline.start(() => {
    stream.destroy(
      new ApiError('guest_timeout', `the guest did not answer ${method} ${path.split('?')[0]} in time`),
    );
  });
  const abort = (): void => void stream.destroy(new ApiError('guest_failed', 'the call was given up'));
  bounds.signal?.addEventListener('abort', abort, { once: true });
  stream.once('close', () => bounds.signal?.removeEventListener('abort', abort));
  try {
    const head = awaitHead(stream);
    if (bounds.body !== undefined) stream.end(bounds.body);
    if (bounds.upload === undefined)
      return { ...(await finishHead(stream, await head, bounds.notFound)), deadline };
    const upload = bounds.upload(stream).then(() => head);
    head.catch(() => undefined);
    const answer = await finishHead(stream, await Promise.race([upload, head]), bounds.notFound);
    if (!stream.writableEnded)
      throw new ApiError('guest_failed', 'the guest reported success before it had everything');
    return { ...answer, deadline };
  } catch (error) {
    if (!stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
    if (error instanceof ApiError) throw error;
    throw new ApiError('guest_failed', 'the channel to the guest broke during the call', { cause: error });
  } finally {
    deadline.stop();
    deadline.came();
  }
}

function openStream(
  session: ClientHttp2Session,
  method: string,
  path: string,
  { body, upload, duplex, accept }: { body?: string; upload?: unknown; duplex?: boolean; accept?: string },
): ClientHttp2Stream {
  try {
    return session.request(
      {
        ':method': method,
        ':path': path,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(accept === undefined ? {} : { accept }),
      },
      { endStream: body === undefined && upload === undefined && duplex !== true },
    );
  } catch (error) {
    throw new ApiError('guest_failed', 'the channel to the guest broke before the call', { cause: error });
  }
}

/** Ends a call whose answer has no body; a body that comes all the same is refused. */
export function endEmpty(stream: ClientHttp2Stream): void {
  if (stream.endAfterHeaders) stream.resume();
  else stream.close(constants.NGHTTP2_CANCEL);
}

async function finishHead(
  stream: ClientHttp2Stream,
  headers: IncomingHttpHeaders & IncomingHttpStatusHeader,
  notFound: ErrorCode = 'file_not_found',
): Promise<Omit<GuestStream, 'deadline'>> {
  const status = headers[':status'] ?? 0;
  if (status >= 200 && status < 300) return { status, headers, stream };
  throw await guestError(stream, status, notFound);
}

/** The options of a call whose answer is read as a whole. */
export interface AnswerBounds extends CallBounds {
  notFound?: ErrorCode;
  body?: unknown;
  /** What the JSON of the answer may hold. */
  json?: JsonBounds;
  /** The error for an answer of more than `answerBytes`. */
  tooMuch?: ApiError | undefined;
  /** Called for each piece of the answer; what it throws ends the call. */
  arrives?: (() => void) | undefined;
}

/** A call whose answer is read as a whole and not parsed. @throws ApiError as `callJson` */
export async function callBytes(
  session: ClientHttp2Session,
  method: string,
  path: string,
  bounds: AnswerBounds,
): Promise<Buffer> {
  const { body, json, arrives, tooMuch, ...rest } = bounds;
  const { stream, deadline } = await begin(session, method, path, {
    ...rest,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  deadline.leave(bodyMs);
  const pieces = piecesWithin(stream, deadline, arrives);
  return readBounded(
    json === undefined ? pieces : guarded(pieces, json),
    bounds.answerBytes ?? defaultAnswerBytes,
    tooMuch,
  );
}

/**
 * A call with a JSON answer, parsed by `schema`.
 * @throws ApiError as the guest agent refuses it, `guest_failed` for an answer that is wrong, `guest_timeout`
 */
export async function callJson<Schema extends z.ZodType>(
  session: ClientHttp2Session,
  method: string,
  path: string,
  schema: Schema,
  bounds: AnswerBounds,
): Promise<z.output<Schema>> {
  return parseAnswer(await callBytes(session, method, path, { json: shortJson, ...bounds }), schema, path);
}

/** Parses an answer whose size was bounded. @throws ApiError `guest_failed` when it does not fit `schema` */
export function parseAnswer<Schema extends z.ZodType>(
  raw: Buffer,
  schema: Schema,
  path: string,
): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(raw.toString('utf8'));
  } catch (error) {
    throw new ApiError('guest_failed', `the guest's answer to ${path.split('?')[0]} is not JSON`, {
      cause: error,
    });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new ApiError('guest_failed', `the guest's answer to ${path.split('?')[0]} has the wrong form`, {
      cause: parsed.error,
    });
  return parsed.data;
}
