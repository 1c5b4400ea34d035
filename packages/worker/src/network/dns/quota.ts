/** Limits what is under way in total and per source, so that no source can take everything. */
export class Quota {
  readonly #total: number;
  readonly #perSource: number;
  readonly #held = new Map<string, number>();
  #sum = 0;

  constructor(total: number, perSource: number) {
    this.#total = total;
    this.#perSource = perSource;
  }

  /** Takes one unit. @returns a function that gives it back; undefined when none is left */
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
