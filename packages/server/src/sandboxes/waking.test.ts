import { describe, expect, test } from 'vitest';
import { ApiError } from '@opencomputer/protocol';
import { hibernatedError } from '../store/sandboxes.ts';
import { onceAwake, SharedWakes, whileAwake } from './waking.ts';

const id = 'sb-00000000';

/** A sandbox that refuses work until it has been woken so often; `calls` says what was done in which order. */
function sleeper(refusals: number) {
  const calls: string[] = [];
  return {
    calls,
    wake: async () => void calls.push('wake'),
    work: async () => {
      calls.push('work');
      if (calls.filter((call) => call === 'work').length <= refusals) throw hibernatedError(id);
      return 'done';
    },
  };
}

describe('work in a sandbox that may be hibernated', () => {
  test('is done once where it is awake', async () => {
    const { calls, wake, work } = sleeper(0);
    expect(await whileAwake(wake, work)).toBe('done');
    expect(calls).toEqual(['work']);
  });

  test('wakes it and is done again, also where somebody hibernates it in between', async () => {
    const { calls, wake, work } = sleeper(3);
    expect(await whileAwake(wake, work)).toBe('done');
    expect(calls).toEqual(['work', 'wake', 'work', 'wake', 'work', 'wake', 'work']);
  });

  test('is given up where it is hibernated again each time', async () => {
    const { calls, wake, work } = sleeper(Infinity);
    await expect(whileAwake(wake, work)).rejects.toMatchObject({ code: 'hibernated' });
    expect(calls.filter((call) => call === 'work')).toHaveLength(4);
  });

  test('is not done again for any other failure, which may have done something', async () => {
    const { calls, wake } = sleeper(0);
    const failing = async (): Promise<never> => {
      calls.push('work');
      throw new ApiError('conflict', 'a change is under way');
    };
    await expect(whileAwake(wake, failing)).rejects.toThrow('a change is under way');
    expect(calls).toEqual(['work']);
  });

  test('fails as the wake fails', async () => {
    const { work } = sleeper(1);
    const wake = () => Promise.reject(new ApiError('no_capacity', 'full'));
    await expect(whileAwake(wake, work)).rejects.toMatchObject({ code: 'no_capacity' });
  });

  test('that can be begun once wakes it, and says to try again', async () => {
    const { calls, wake, work } = sleeper(1);
    const refused = (cause: unknown) => new ApiError('worker_unavailable', 'send it again', { cause });
    await expect(onceAwake(wake, work, refused)).rejects.toThrow('send it again');
    expect(calls).toEqual(['work', 'wake']);
    expect(await onceAwake(wake, work, refused)).toBe('done');
  });
});

test('a wake that is under way is shared, and forgotten when it has ended or failed', async () => {
  const wakes = new SharedWakes();
  const begun: PromiseWithResolvers<void>[] = [];
  const wake = (): Promise<void> => {
    const ending = Promise.withResolvers<void>();
    begun.push(ending);
    return ending.promise;
  };
  const first = [wakes.share(id, wake), wakes.share(id, wake)];
  const other = wakes.share('sb-00000001', wake);
  expect(begun).toHaveLength(2);
  begun[0]?.reject(new Error('no'));
  begun[1]?.resolve();
  expect((await Promise.allSettled(first)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await other;
  const again = wakes.share(id, wake);
  expect(begun).toHaveLength(3);
  begun[2]?.resolve();
  await again;
});
