import type { Readable } from 'node:stream';
import type { z } from 'zod';
import {
  ApiError,
  credentialParameters,
  describeIssues,
  describeUnknown,
  isSandboxId,
  isUuid,
  limits,
  type Endpoint,
  refuseUnsupported,
} from '@opencomputer/protocol';
import { requestBody } from '../http/server.ts';
import type { ApiContext } from './context.ts';

/** Milliseconds for the whole of a JSON body. */
const jsonBodyMs = 30_000;

/**
 * Reads and checks a JSON body; an empty one counts as `{}`.
 * @param limit most bytes that it may have
 * @throws ApiError `invalid_json`, `too_large`, `invalid_request`, `unsupported`.
 */
export async function readJson<T>(
  c: ApiContext,
  schema: z.ZodType<T>,
  limit: number = limits.jsonBodyBytes,
): Promise<T> {
  const text = await readText(c, limit);
  const value = text.trim() === '' ? {} : parseJson(text);
  if (typeof value === 'object' && value !== null) refuseNames(c, Object.keys(value));
  return check(schema, value);
}

/** @throws ApiError `unsupported` when a field, or a parameter, is one that is not there yet. */
function refuseNames(c: ApiContext, names: readonly string[]): void {
  const endpoint = c.get('endpoint');
  if (endpoint !== undefined) refuseUnsupported(endpoint, names);
}

/** Refuses parameters that the endpoint does not have. @throws ApiError `invalid_request`, `unsupported`. */
export function checkParameters(c: ApiContext, { query, queryNames }: Endpoint): void {
  const known = Object.keys(query?.shape ?? {});
  const unknown = Object.keys(c.req.queries()).filter(
    (name) =>
      !known.includes(name) && !credentialParameters.includes(name) && queryNames?.test(name) !== true,
  );
  refuseNames(c, unknown);
  if (unknown.length > 0) throw new ApiError('invalid_request', describeUnknown('parameter', unknown, known));
}

/** Checks the query. @throws ApiError `invalid_request`. */
export function readQuery<T>(c: ApiContext, schema: z.ZodType<T>): T {
  return check(schema, c.req.query());
}

/** The id in the path. @throws ApiError `sandbox_not_found` when it is none. */
export function sandboxId(c: ApiContext): string {
  const id = c.req.param('id') ?? '';
  if (!isSandboxId(id)) throw new ApiError('sandbox_not_found', `sandbox ${id.slice(0, 64)} not found`);
  return id;
}

/** The id of the checkpoint in the path. @throws ApiError `invalid_request` when it is none. */
export function checkpointId(c: ApiContext): string {
  const id = (c.req.param('cid') ?? '').toLowerCase();
  if (!isUuid(id))
    throw new ApiError(
      'invalid_request',
      `${JSON.stringify(id.slice(0, 64))} is not the id of a checkpoint`,
      {
        hint: 'Ids of checkpoints are UUIDs; GET /api/checkpoints lists yours.',
      },
    );
  return id;
}

function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ApiError('invalid_request', describeIssues(parsed.error), { cause: parsed.error });
}

function tooLarge(limit: number): ApiError {
  return new ApiError('too_large', `the body is larger than ${limit} bytes`, { details: { limit } });
}

async function readText(c: ApiContext, limit: number): Promise<string> {
  if (Number(c.req.header('content-length') ?? 0) > limit) throw tooLarge(limit);
  const bytes = await collect(requestBody(c), limit);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new ApiError('invalid_json', 'the body is not UTF-8', { cause: error });
  }
}

/** Reads a body within the bounds of size and time; the rest of one that is refused is left unread. */
function collect(body: Readable, limit: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const cutOff = (cause?: unknown): void =>
    reject(new ApiError('invalid_json', 'the body was cut off', { cause }));
  const timer = setTimeout(() => {
    reject(new ApiError('invalid_json', `the body did not arrive within ${jsonBodyMs / 1000} s`));
  }, jsonBodyMs);
  const take = (chunk: Buffer): void => {
    size += chunk.length;
    if (size > limit) reject(tooLarge(limit));
    else chunks.push(chunk);
  };
  body.on('data', take);
  body.once('end', () => resolve(Buffer.concat(chunks)));
  body.once('error', cutOff);
  body.once('close', cutOff);
  return promise.finally(() => {
    clearTimeout(timer);
    body.off('data', take);
    // Every body closes in the end; an error for that would be made in vain.
    body.off('close', cutOff);
  });
}

/** @throws ApiError `invalid_request` when what walks through it later might overflow the stack. */
function checkDepth(body: unknown): void {
  let level = [body].filter(isNested);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > limits.jsonDepth)
      throw new ApiError('invalid_request', `the body is nested deeper than ${limits.jsonDepth} levels`, {
        details: { limit: limits.jsonDepth },
      });
    level = level.flatMap((value) => Object.values(value).filter(isNested));
  }
}

function isNested(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ApiError('invalid_json', `the body is not JSON: ${(error as Error).message.slice(0, 200)}`, {
      cause: error,
    });
  }
  checkDepth(value);
  return value;
}
