import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError, describeIssues } from '@opencomputer/protocol';
import type { z } from 'zod';

/** A command with 2 MiB of arguments, each byte of which may take six in JSON, fits. */
const bodyBytes = 13 * 1024 * 1024;

/** A caller is told so often that its answer is on the way, in milliseconds: far more often than one gives up. */
const arrivalMs = 2_000;

/** Answers with JSON. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

/**
 * Tells the caller every few seconds that its answer is on the way, as `102 Processing`, so that it waits on.
 * @param everyMs how often, in milliseconds
 * @returns to be called when some of it has come; throws when the caller is gone
 */
export function tellsArrival(response: ServerResponse, signal: AbortSignal, everyMs = arrivalMs): () => void {
  let told = performance.now();
  return () => {
    signal.throwIfAborted();
    if (performance.now() - told < everyMs) return;
    told = performance.now();
    response.writeProcessing();
  };
}

/** Answers with nothing but success. */
export function sendEmpty(response: ServerResponse): void {
  response.writeHead(204).end();
}

/** An error as the caller is told of it. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError('internal', 'the worker failed unexpectedly', { cause: error });
}

/** Answers with an error; one that is already half answered is cut off, so that nobody takes it for whole. */
export function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const known = asApiError(error);
  sendJson(response, known.status, known.toBody());
}

/** Reads and checks a JSON body. @throws ApiError `invalid_json`, `invalid_request`, `too_large` */
export async function readJson<Schema extends z.ZodType>(
  request: IncomingMessage,
  schema: Schema,
): Promise<z.output<Schema>> {
  const parts: Buffer[] = [];
  let size = 0;
  // Left whole when it is refused: to destroy it is to destroy the connection that the answer goes by.
  for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > bodyBytes) throw new ApiError('too_large', `a body may have ${bodyBytes} bytes`);
    parts.push(part);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch (error) {
    throw new ApiError('invalid_json', 'the body is not JSON', { cause: error });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new ApiError('invalid_request', describeIssues(parsed.error), { cause: parsed.error });
  return parsed.data;
}

/** A number of milliseconds from the query. @throws ApiError `invalid_request` */
export function queryMilliseconds(url: URL, name: string): number {
  const value = Number(url.searchParams.get(name) ?? 0);
  if (!Number.isInteger(value) || value < 0)
    throw new ApiError('invalid_request', `${name} must be a number of milliseconds`);
  return value;
}
