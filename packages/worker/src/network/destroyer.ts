import type { Names } from './names.ts';
import { destroySlots, slotRemains } from './slots.ts';

/** Slots removed per batch: few, so that claims do not wait long for the kernel. */
const batchSize = 64;

/** Removes slots; requests that come meanwhile are collected into one batch. */
export class Destroyer {
  readonly #names: Names;
  readonly #queue = new Map<number, PromiseWithResolvers<void>>();
  #draining = false;

  constructor(names: Names) {
    this.#names = names;
  }

  /** @throws Error when the slot still exists afterwards. */
  destroy(index: number): Promise<void> {
    const known = this.#queue.get(index);
    if (known !== undefined) return known.promise;
    const entry = Promise.withResolvers<void>();
    this.#queue.set(index, entry);
    if (!this.#draining) void this.#drain();
    return entry.promise;
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    // Releases of one turn of the event loop are handled together.
    await Promise.resolve();
    while (this.#queue.size > 0) {
      const batch = [...this.#queue].slice(0, batchSize);
      let failure: unknown;
      try {
        await destroySlots(
          this.#names,
          batch.map(([index]) => index),
        );
      } catch (error) {
        failure = error;
      }
      for (const [index, { resolve, reject }] of batch) {
        this.#queue.delete(index);
        if (failure !== undefined && slotRemains(this.#names, index)) reject(failure);
        else resolve();
      }
    }
    this.#draining = false;
  }
}
