import { ApiError } from '@opencomputer/protocol';
import { InputQueue } from './input.ts';
import type { Upstream } from './upstream.ts';

/** How long a session may leave input where it is. */
const takenMs = 10_000;

/**
 * Writes input to a session and waits until it has been taken.
 * @throws ApiError `session_ended`, `guest_timeout`, `worker_unavailable` when nobody knows how far it came
 */
export async function sendInput(upstream: Upstream, data: Buffer): Promise<void> {
  const input = new InputQueue();
  input.push(data);
  let exited = false;
  const timer = setTimeout(() => upstream.close(), takenMs);
  try {
    await upstream.follow(input, (frames) => {
      exited ||= frames.some(({ type }) => type === 'exit');
      if (exited || input.bytes === 0) upstream.close();
      else timer.refresh();
    });
  } finally {
    clearTimeout(timer);
    upstream.close();
  }
  if (input.bytes === 0) return;
  if (exited) throw new ApiError('session_ended', 'the session has ended');
  throw new ApiError('guest_timeout', 'the session did not take all of its input in time');
}
