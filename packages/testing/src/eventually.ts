import { setTimeout as delay } from 'node:timers/promises';

/** It looks often at first, then less so. */
const firstPauseMs = 5;

/**
 * Waits until `condition` answers something truthy, and returns that. What it throws counts as "not yet".
 * @param what Named in the failure, with the last error.
 * @param options.withinMs default 4 minutes
 * @param options.everyMs the longest time between two looks, default 100
 */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T> | T,
  options: { withinMs?: number; everyMs?: number } = {},
): Promise<NonNullable<T>> {
  const withinMs = options.withinMs ?? 240_000;
  const end = Date.now() + withinMs;
  const longestPauseMs = options.everyMs ?? 100;
  let pauseMs = firstPauseMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end)
      throw new Error(`not within ${withinMs / 1000} s: ${what}; last: ${describe(last)}`);
    // Real time: the pause between two looks.
    await delay(Math.min(pauseMs, longestPauseMs));
    pauseMs *= 2;
  }
}

function describe(value: unknown): string {
  return value instanceof Error ? value.message : (JSON.stringify(value) ?? 'undefined');
}
