/** How much output is kept before a loop iterates it, and from which amount on the socket is paused. */
const enough = 1024 * 1024;
/** Where a socket cannot be paused, the amount of output at which an iteration fails. */
const tooMuch = 64 * 1024 * 1024;

/** What an output queue needs from its connection. */
export interface OutputSource {
  /** Asks the sender to wait. False when that is impossible. */
  pause(): boolean;
  resume(): void;
  /** This many bytes were dropped because nobody iterated. */
  dropped(bytes: number): void;
  /** The error for an iteration that is too slow for a source that cannot wait. */
  tooSlow(bytes: number): Error;
}

interface Waiter<Item> {
  readonly resolve: (result: IteratorResult<Item, undefined>) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Output for a `for await` loop. Until a loop begins the newest 1 MiB is kept; from then on nothing is dropped, and the
 * sender has to wait for the reader.
 */
export class OutputQueue<Item extends { data: Uint8Array }> implements AsyncIterableIterator<Item> {
  readonly #source: OutputSource;
  #items: Item[] = [];
  #bytes = 0;
  #droppedBytes = 0;
  #iterated = false;
  #closed = false;
  #failure: { error: unknown } | undefined;
  #paused = false;
  #waiters: Waiter<Item>[] = [];

  constructor(source: OutputSource) {
    this.#source = source;
  }

  [Symbol.asyncIterator](): this {
    if (!this.#iterated && this.#droppedBytes > 0) this.#source.dropped(this.#droppedBytes);
    this.#iterated = true;
    return this;
  }

  push(item: Item): void {
    if (this.#closed || item.data.byteLength === 0) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) return waiter.resolve({ done: false, value: item });
    this.#items.push(item);
    this.#bytes += item.data.byteLength;
    if (!this.#iterated) return this.#dropOldest();
    if (this.#bytes < enough || this.#paused) return;
    this.#paused = this.#source.pause();
    if (!this.#paused && this.#bytes > tooMuch) this.end({ error: this.#source.tooSlow(this.#bytes) });
  }

  /** Marks the end; readers get the rest first. */
  end(failure?: { error: unknown }): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#failure = failure;
    for (const waiter of this.#waiters.splice(0)) this.#finish(waiter);
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    const item = this.#items.shift();
    if (item === undefined)
      return new Promise((resolve, reject) => {
        if (this.#closed) this.#finish({ resolve, reject });
        else this.#waiters.push({ resolve, reject });
      });
    this.#bytes -= item.data.byteLength;
    if (this.#paused && this.#bytes < enough / 2) this.#resume();
    return Promise.resolve({ done: false, value: item });
  }

  /** The reader has left the loop: output is dropped from now on. */
  return(): Promise<IteratorResult<Item, undefined>> {
    this.end();
    this.#items = [];
    this.#bytes = 0;
    if (this.#paused) this.#resume();
    return Promise.resolve({ done: true, value: undefined });
  }

  #finish({ resolve, reject }: Waiter<Item>): void {
    if (this.#failure === undefined) resolve({ done: true, value: undefined });
    else reject(this.#failure.error);
  }

  #resume(): void {
    this.#paused = false;
    this.#source.resume();
  }

  #dropOldest(): void {
    while (this.#bytes > enough) {
      const oldest = this.#items.shift();
      if (oldest === undefined) return;
      this.#bytes -= oldest.data.byteLength;
      this.#droppedBytes += oldest.data.byteLength;
    }
  }
}
