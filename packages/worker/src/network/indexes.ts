import { NetworkFullError } from './types.ts';

/**
 * Slot numbers. A number given back is used again as late as possible: connections of its last holder may
 * still be known to the host, and its user id to the file system.
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

  /** Marks one as taken, after a restart. New ones are then sought past it. */
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
