import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Waits until a counter stands still: until the event loop has turned `turns` times, each time with a look at all
 * sockets, and the counter has not changed. For what is pushed between two ends in this process this is no matter of
 * time: on a busy host the turns take longer, too.
 * @param read the counter, which must get beyond 0 first
 * @returns where it stands
 */
export async function standstill(read: () => number, turns = 1000): Promise<number> {
  let last = 0;
  for (let still = 0; still < turns || last === 0; still++) {
    const now = read();
    if (now !== last) still = 0;
    last = now;
    await nextTurn();
  }
  return last;
}
