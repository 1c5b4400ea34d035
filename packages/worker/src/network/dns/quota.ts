/** Counts what is in flight, in all and for each source, so that none takes it all. */
export class Quota {
  readonly #total: number;
  readonly #perSource: number;
  readonly #held = new Map<string, number>();
  #sum = 0;

  constructor(total: number, perSource: number) {
    this.#total = total;
    this.#perSource = perSource;
  }

  /** Takes one unit. @returns what gives it back, undefined when none is left. */
  take(source: string): (() => void) | undefined {
    const held = this.#held.get(source) ?? 0;
    if (this.#sum >= this.#total || held >= this.#perSource) return undefined;
    this.#held.set(source, held + 1);
    this.#sum += 1;
    return () => {
      this.#sum -= 1;
      const left = (this.#held.get(source) ?? 1) - 1;
      if (left === 0) this.#held.delete(source);
      else this.#held.set(source, left);
    };
  }
}
