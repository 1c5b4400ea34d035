/** Runs the changes of one object one after another, and those of different objects side by side. */
export class Exclusive {
  readonly #last = new Map<string, Promise<unknown>>();

  async run<Result>(key: string, change: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const turn = before.then(change, change);
    const settled = turn.catch(() => undefined);
    this.#last.set(key, settled);
    try {
      return await turn;
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    }
  }
}
