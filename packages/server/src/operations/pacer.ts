import { setTimeout as delay } from 'node:timers/promises';

export interface Pace {
  /** Milliseconds before the second attempt; doubled each time. */
  readonly first: number;
  readonly longest: number;
}

/** Waits between attempts. */
export class Pacer {
  readonly #pace: Pace;
  readonly #stopping: AbortSignal;
  readonly #waiting = new Set<AbortController>();

  constructor(pace: Pace, stopping: AbortSignal) {
    this.#pace = pace;
    this.#stopping = stopping;
  }

  /**
   * Waits after the given number of failed attempts; `wake` ends it early.
   * @throws the reason of `cancelled`, or of the stopping server, when one of them is aborted.
   */
  async wait(attempts: number, cancelled?: AbortSignal): Promise<void> {
    const { first, longest } = this.#pace;
    const ms = Math.min(first * 2 ** Math.min(attempts - 1, 20), longest);
    const early = new AbortController();
    this.#waiting.add(early);
    const signal = AbortSignal.any([early.signal, this.#stopping, ...(cancelled ? [cancelled] : [])]);
    try {
      await delay(ms, undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#waiting.delete(early);
    }
    this.#stopping.throwIfAborted();
    cancelled?.throwIfAborted();
  }

  /** Ends all waits. */
  wake(): void {
    for (const early of this.#waiting) early.abort();
  }
}
