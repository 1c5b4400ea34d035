import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError, describeIssues } from '@opencomputer/protocol';
import type { z } from 'zod';

/** A command with 2 MiB of arguments, each byte of which may take six in JSON, fits. */
const bodyBytes = 13 * 1024 * 1024;

/** How often a caller is told that its answer is on the way, in milliseconds: well within its timeout. */
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
 * Sends the caller `102 Processing` every few seconds while its answer is on the way, so that it keeps waiting.
 * @param everyMs how often, in milliseconds
 * @returns a function to call when some of it has come; it throws when the caller is gone
 */
export function tellsArrival(response: ServerResponse, signal: AbortSignal, everyMs = arrivalMs): () => void {
  let sentAt = performance.now();
  return () => {
    signal.throwIfAborted();
    if (performance.now() - sentAt < everyMs) return;
    sentAt = performance.now();
    response.writeProcessing();
  };
}

/** Answers with nothing but success. */
export function sendEmpty(response: ServerResponse): void {
  response.writeHead(204).end();
}

/** An error as it is sent to the caller. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError('internal', 'the worker failed unexpectedly', { cause: error });
}

/** Answers with an error. An answer that was already begun is cut off, so that nobody takes it for complete. */
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
  // Not destroyed when it is refused: that would destroy the connection on which the answer goes.
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
