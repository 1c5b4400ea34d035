import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { endsWithin } from './deadline.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('work that ends in time is told from work that does not', async () => {
  expect(await endsWithin(Promise.resolve('done'), 1000)).toBe(true);
  const waiting = endsWithin(new Promise(() => undefined), 1000);
  await vi.advanceTimersByTimeAsync(1000);
  expect(await waiting).toBe(false);
});

test.each([1000, Infinity])('work that fails within %s ms fails the wait', async (ms) => {
  await expect(endsWithin(Promise.reject(new Error('no')), ms)).rejects.toThrow('no');
});

test('what fails later does not fail the process', async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  const waiting = endsWithin(promise, 10);
  await vi.advanceTimersByTimeAsync(10);
  expect(await waiting).toBe(false);
  // An unhandled rejection would fail this file.
  reject(new Error('late'));
  await vi.advanceTimersByTimeAsync(1);
});

test('leaves no timer behind', async () => {
  await endsWithin(Promise.resolve(), 1000);
  expect(vi.getTimerCount()).toBe(0);
});
