export interface Deadline {
  readonly key: string;
  readonly at: number;
}

/** A binary heap of keys by time: the earliest first. */
export class DeadlineHeap {
  readonly #entries: Deadline[] = [];

  get size(): number {
    return this.#entries.length;
  }

  push(key: string, at: number): void {
    const entries = this.#entries;
    let index = entries.push({ key, at }) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(index, parent)) break;
      this.#swap(index, parent);
      index = parent;
    }
  }

  /** Removes and returns the earliest one if its time is `now` or before. */
  popDue(now: number): Deadline | undefined {
    const entries = this.#entries;
    const [first] = entries;
    if (first === undefined || first.at > now) return undefined;
    const last = entries.pop();
    if (last !== undefined && entries.length > 0) {
      entries[0] = last;
      this.#sink();
    }
    return first;
  }

  #sink(): void {
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      let least = index;
      if (left < this.#entries.length && this.#before(left, least)) least = left;
      if (right < this.#entries.length && this.#before(right, least)) least = right;
      if (least === index) return;
      this.#swap(index, least);
      index = least;
    }
  }

  #before(a: number, b: number): boolean {
    return (this.#entries[a]?.at ?? Infinity) < (this.#entries[b]?.at ?? Infinity);
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#entries[a], this.#entries[b]];
    if (first === undefined || second === undefined) return;
    this.#entries[a] = second;
    this.#entries[b] = first;
  }
}
