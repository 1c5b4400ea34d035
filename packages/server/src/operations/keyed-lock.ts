/** Locks by name, each given in the order of asking. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  /** Waits until nobody holds `key`, holds it while `work` runs, and returns what it returns. */
  async hold<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(key, promise);
    try {
      await before;
      return await work();
    } finally {
      resolve();
      if (this.#tails.get(key) === promise) this.#tails.delete(key);
    }
  }
}
