import { ApiError } from '@opencomputer/protocol';
import { endsWithin } from './deadline.ts';

/** Locks by name, or by another thing that each is for, given in the order of asking. */
export class KeyedLock<Key = string> {
  readonly #tails = new Map<Key, Promise<void>>();

  /** True while somebody holds `key` or waits for it. */
  held(key: Key): boolean {
    return this.#tails.has(key);
  }

  /**
   * Waits until nobody holds `key`, holds it while `work` runs, and returns what it returns.
   * @param what The kind of thing that is locked, for the error.
   * @throws ApiError `busy` when it is not free within `patienceMs`; what `work` throws.
   */
  async hold<T>(key: Key, work: () => Promise<T>, patienceMs = Infinity, what = 'sandbox'): Promise<T> {
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(key, promise);
    const release = (): void => {
      resolve();
      if (this.#tails.get(key) === promise) this.#tails.delete(key);
    };
    if (before !== undefined && !(await endsWithin(before, patienceMs))) {
      // The next in line still waits for the one before.
      void before.then(release);
      throw tooLong(what, patienceMs);
    }
    try {
      return await work();
    } finally {
      release();
    }
  }
}

/** The error of a change whose turn does not come. @param what The kind of thing that it would change. */
export function tooLong(what: string, patienceMs: number): ApiError {
  const seconds = Math.round(patienceMs / 1000);
  return new ApiError('busy', `a change of the ${what} has been under way for more than ${seconds} s`);
}
