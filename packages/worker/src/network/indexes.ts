import { NetworkFullError } from './types.ts';

/**
 * Slot numbers. A number that was given back is reused as late as possible: the host may still track connections of its
 * last slot, and the file system may have files of its user.
 */
export class Indexes {
  readonly #limit: number;
  readonly #taken = new Set<number>();
  #next = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws NetworkFullError when none is free. */
  take(): number {
    if (this.#taken.size >= this.#limit) throw new NetworkFullError(this.#limit);
    while (this.#taken.has(this.#next)) this.#next = (this.#next + 1) % this.#limit;
    const index = this.#next;
    this.#taken.add(index);
    this.#next = (index + 1) % this.#limit;
    return index;
  }

  /** Marks one as taken, after a restart. The search for free ones goes on after it. */
  reserve(index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.#limit) {
      throw new RangeError(`network slot ${index} must be a whole number from 0 to ${this.#limit - 1}`);
    }
    this.#taken.add(index);
    this.#next = (index + 1) % this.#limit;
  }

  free(index: number): void {
    this.#taken.delete(index);
  }

  get available(): number {
    return this.#limit - this.#taken.size;
  }
}
