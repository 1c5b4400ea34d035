import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from '@opencomputer/protocol';
import { expect, test, vi } from 'vitest';
import { quietLog } from '../testing/harness.ts';
import { ClientGone, toApiError } from './errors.ts';

function heard(error: unknown): { answer: ApiError; errors: number } {
  const errors = vi.fn();
  const answer = toApiError(error, { ...quietLog, error: errors }, 'req-1');
  return { answer, errors: errors.mock.calls.length };
}

test('an error that nobody planned for is logged, and its text is not told', () => {
  const { answer, errors } = heard(new Error('a secret of the server'));
  expect([answer.code, errors]).toEqual(['internal', 1]);
  expect(JSON.stringify(answer.toBody())).not.toContain('secret');
});

test.each([{ errcode: 13 }, { code: '53100' }])(
  'a full disk under the database is told as such: %j',
  (full) => {
    expect(heard(Object.assign(new Error('full'), full)).answer.code).toBe('no_space');
  },
);

test('a client that went away is no error of the server', async () => {
  expect(heard(new ClientGone()).errors).toBe(0);
  const gone = new AbortController();
  // Real time: what is given up long before.
  const waiting = delay(60_000, undefined, { signal: gone.signal });
  gone.abort(new ClientGone());
  expect(heard(await waiting.catch((error: unknown) => error)).errors).toBe(0);
});

test.each([
  ['hibernated', 409, 'conflict'],
  ['abandoned', 502, 'creation_failed'],
  ['cancelled', 500, 'internal'],
] as const)('the code %s of our own processes is not shown', (code, status, shown) => {
  const answer = toApiError(new ApiError(code, 'why', { details: { limit: 4 } }), quietLog, 'req-1');
  expect(answer.toBody()).toMatchObject({ code: shown, error: 'why', limit: 4 });
  expect(answer.status).toBe(status);
});
