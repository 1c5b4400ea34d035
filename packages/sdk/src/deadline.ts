/** A time limit and a caller's signal, joined into one signal for `fetch`. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #limitMs: number;
  readonly #callerSignal: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #expired = false;

  /** @param limitMs 0 means no limit. The clock starts at once. */
  constructor(limitMs: number, callerSignal: AbortSignal | undefined) {
    this.#limitMs = limitMs;
    this.#callerSignal = callerSignal;
    if (callerSignal?.aborted) this.#controller.abort(callerSignal.reason);
    callerSignal?.addEventListener('abort', this.#onCallerAbort);
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get expired(): boolean {
    return this.#expired;
  }

  get limitMs(): number {
    return this.#limitMs;
  }

  /** Starts the clock again, e.g. after progress. */
  restart(): void {
    clearTimeout(this.#timer);
    if (this.#limitMs === 0 || this.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#expired = true;
      this.#controller.abort();
    }, this.#limitMs);
  }

  /** Stops the clock, e.g. while the other side waits for us. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  /** Ends the request that carries the signal. */
  abort(): void {
    this.release();
    this.#controller.abort();
  }

  /** Releases the timer and the caller's signal. */
  release(): void {
    clearTimeout(this.#timer);
    this.#callerSignal?.removeEventListener('abort', this.#onCallerAbort);
  }

  #onCallerAbort = (): void => {
    clearTimeout(this.#timer);
    this.#controller.abort(this.#callerSignal?.reason);
  };
}

/** Waits. Rejects with the signal's reason when that aborts first. */
export async function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
