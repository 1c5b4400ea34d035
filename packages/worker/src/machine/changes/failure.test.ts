import { ApiError } from '@opencomputer/protocol';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../../testing/scratch.ts';
import { failAs } from './failure.ts';

const what = 'the machine could not be started';

function failing(reason: Error): Promise<Error> {
  return failureOf(failAs('start_failed', what, () => Promise.reject(reason)));
}

describe('a change that fails', () => {
  it('says what could not be done, and why', async () => {
    const cause = new Error('QEMU did not start');
    const failure = await failing(cause);
    expect(failure).toBeInstanceOf(ApiError);
    expect(failure).toMatchObject({ code: 'start_failed', message: `${what}: QEMU did not start`, cause });
  });

  it('for want of space says so', async () => {
    const full = Object.assign(new Error('ENOSPC: write'), { code: 'ENOSPC' });
    expect(await failing(full)).toMatchObject({ code: 'no_space', message: `${what}: ENOSPC: write` });
  });

  it('with a reason for clients keeps it', async () => {
    const refusal = new ApiError('no_capacity', 'the host is full');
    expect(await failing(refusal)).toBe(refusal);
  });

  it('is nothing where it succeeds', async () => {
    expect(await failAs('start_failed', what, () => Promise.resolve(7))).toBe(7);
  });
});
