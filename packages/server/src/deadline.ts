/**
 * Waits for work, for at most `ms` milliseconds; with Infinity however long it takes. The work itself goes on.
 * @returns false when the time was over first
 * @throws what the work throws in that time; what it throws later is for its owner to handle
 */
export async function endsWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const ended = work.then(() => true);
  if (ms === Infinity) return ended;
  const { promise: timeIsOver, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(resolve, ms, false);
  try {
    return await Promise.race([ended, timeIsOver]);
  } finally {
    clearTimeout(timer);
  }
}
