import { ApiError, errorKinds } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { classOfCode, errorFromAnswer, errorFromFailure } from './error-mapping.ts';
import {
  AuthenticationError,
  CapacityError,
  InvalidRequestError,
  LimitError,
  NotFoundError,
  SandboxNotFoundError,
  SandboxStoppedError,
  ServerError,
  TimeoutError,
} from './errors.ts';
import type { OpenComputerError } from './errors.ts';
import type { ErrorCode } from '@opencomputer/protocol';

const codes = Object.keys(errorKinds) as ErrorCode[];

function answer(code: ErrorCode, headers: Record<string, string> = {}): OpenComputerError {
  const error = new ApiError(code, 'what happened', { details: { limit: 4 } });
  return errorFromAnswer(error.status, new Headers(headers), JSON.stringify(error.toBody('req-1')));
}

describe('an error of the server', () => {
  test.each(codes)('%s becomes its class and keeps everything', (code) => {
    const error = answer(code);
    expect(error.constructor).toBe(classOfCode[code]);
    expect(error).toMatchObject({
      name: classOfCode[code].name,
      code,
      status: errorKinds[code].status,
      requestId: 'req-1',
      details: { limit: 4 },
    });
    expect(error.hint).not.toBe('');
    expect(error.message).toBe(
      `what happened. ${error.hint} [HTTP ${errorKinds[code].status}, request req-1]`,
    );
  });

  test('is caught by what to do about it', () => {
    expect(answer('sandbox_not_found')).toBeInstanceOf(NotFoundError);
    expect(answer('no_capacity')).toBeInstanceOf(LimitError);
    expect(answer('no_capacity')).toBeInstanceOf(CapacityError);
    expect(answer('sandbox_not_found')).toBeInstanceOf(SandboxNotFoundError);
    expect(answer('unauthorized').hint).toContain('OPENCOMPUTER_API_KEY');
  });

  test('tells when to come back', () => {
    expect(answer('worker_unavailable', { 'retry-after': '2' }).retryAfterMs).toBe(2000);
    expect(answer('worker_unavailable', { 'retry-after': 'soon' }).retryAfterMs).toBeUndefined();
    expect(answer('worker_unavailable').retryAfterMs).toBeUndefined();
  });
});

describe('an answer without a known code', () => {
  test.each([
    [400, InvalidRequestError],
    [401, AuthenticationError],
    [403, AuthenticationError],
    [404, NotFoundError],
    [410, SandboxStoppedError],
    [413, LimitError],
    [418, InvalidRequestError],
    [429, LimitError],
    [500, ServerError],
    [502, ServerError],
    [504, TimeoutError],
    [507, CapacityError],
  ])('%i becomes its class', (status, Class) => {
    expect(errorFromAnswer(status, new Headers(), '<html>oh</html>').constructor).toBe(Class);
  });

  test.each([
    ['<html><body>Bad gateway</body></html>', 'the server answered 502'],
    ['', 'the server answered 502'],
    ['null', 'null'],
    ['upstream is away', 'upstream is away'],
    ['{"error":"no such thing."}', 'no such thing'],
    ['{"error":{"message":1}}', 'the server answered 502'],
    ['{"error":"cut o', 'the server answered 502'],
  ])('%j reads as %j', (body, message) => {
    expect(errorFromAnswer(502, new Headers(), body).message).toBe(`${message} [HTTP 502]`);
  });

  test('keeps a code that this version does not know', () => {
    const error = errorFromAnswer(409, new Headers(), '{"error":"x","code":"brand_new"}');
    expect(error).toMatchObject({ name: 'ConflictError', code: 'brand_new' });
  });
});

test('a failure below HTTP says whether the request was sent', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  expect(errorFromFailure('http://h:1/api', new TypeError('fetch failed', { cause: refused }))).toMatchObject(
    {
      code: 'connection_failed',
      requestSent: false,
      message: expect.stringMatching(
        /cannot connect to http:\/\/h:1 .*Start the server there, or set apiUrl/,
      ),
    },
  );
  const reset = Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' });
  expect(errorFromFailure('http://h:1/api', new TypeError('terminated', { cause: reset }))).toMatchObject({
    code: 'connection_lost',
    requestSent: true,
  });
  expect(errorFromFailure('http://h:1/api', 'odd')).toMatchObject({ code: 'connection_lost' });
});
