/** Work of which one run suffices for all who ask before it begins. */
export class SharedRun {
  readonly #work: () => Promise<void>;
  #current: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  /** Does the work. Calls while it is under way share one more run after it. @throws what the work throws */
  run(): Promise<void> {
    if (this.#current === undefined) {
      this.#current = this.#work().finally(() => {
        this.#current = undefined;
      });
      return this.#current;
    }
    const again = (): Promise<void> => {
      this.#next = undefined;
      return this.run();
    };
    this.#next ??= this.#current.then(again, again);
    return this.#next;
  }

  /** Waits for what is under way, and what is to follow it. */
  async ended(): Promise<void> {
    await this.#next;
    await this.#current;
  }
}
