import { setImmediate } from 'node:timers/promises';
import { NetworkFullError } from './types.ts';

export interface PoolOptions {
  /** Slots to keep ready. */
  warm: number;
  /** Makes about this many slots, at least one; all that it returns are complete. */
  make: (count: number) => Promise<number[]>;
  /** Whether a ready slot is still complete. */
  usable: (index: number) => boolean;
  /** Called with slots that were ready and are no longer usable. */
  discard: (index: number) => void;
  /** Called when slots could not be made in advance. */
  onRefillError: (error: unknown) => void;
  /** Milliseconds until the next try after that. */
  retryMs: number;
}

interface Waiter {
  resolve: (index: number) => void;
  reject: (error: unknown) => void;
}

/** Slots per batch: a claim that waits does so for one batch at most. */
const batchSize = 16;

/** Slots made in advance, refilled in the background; further claims wait for the next batch. */
export class Pool {
  readonly #options: PoolOptions;
  readonly #ready: number[] = [];
  readonly #waiters: Waiter[] = [];
  #work: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#pump();
  }

  claim(): Promise<number> {
    if (this.#closed) return Promise.reject(new Error('the network is closed'));
    for (let index = this.#ready.shift(); index !== undefined; index = this.#ready.shift()) {
      if (this.#options.usable(index)) {
        this.#pump();
        return Promise.resolve(index);
      }
      this.#options.discard(index);
    }
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#pump();
    });
  }

  /** Closes the pool. @returns the slots that were ready; they belong to the caller now */
  async close(): Promise<number[]> {
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new Error('the network is closed'));
    await this.#work;
    return this.#ready.splice(0);
  }

  #pump(): void {
    this.#work ??= this.#makeAll().finally(() => {
      this.#work = undefined;
      // A claim may have come after the queue was last checked.
      if (this.#waiters.length > 0) this.#pump();
    });
  }

  async #makeAll(): Promise<void> {
    // Claims of one turn of the event loop are made together, and before replacements for slots that were ready.
    await setImmediate();
    while (!this.#closed) {
      const wanted = this.#waiters.length || this.#options.warm - this.#ready.length;
      if (wanted <= 0) return;
      try {
        const made = await this.#options.make(Math.min(wanted, batchSize));
        for (const index of made) {
          const waiter = this.#waiters.shift();
          if (waiter === undefined) this.#ready.push(index);
          else waiter.resolve(index);
        }
      } catch (error) {
        const failed = this.#waiters.splice(0, error instanceof NetworkFullError ? Infinity : batchSize);
        for (const waiter of failed) waiter.reject(error);
        if (failed.length > 0) continue;
        // A full host is not an error; the next release or claim tries again.
        if (!(error instanceof NetworkFullError)) this.#options.onRefillError(error);
        this.#retry = setTimeout(() => this.#pump(), this.#options.retryMs).unref();
        return;
      }
    }
  }
}
