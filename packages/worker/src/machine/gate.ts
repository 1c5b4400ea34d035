import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from '@opencomputer/protocol';

/** How long an operation waits for a change that is under way. */
const longestWaitMs = 120_000;
/** How long transfers that are under way may go on before a change of the machine's life cuts them off. */
const patienceMs = 10_000;

/**
 * Stands between a machine's operations and the changes of its life: operations run side by side, a change waits
 * for them and keeps new ones waiting.
 */
export class Gate {
  readonly #waitMs: number;
  #inside = 0;
  #empty: (() => void) | undefined;
  #closed: PromiseWithResolvers<void> | undefined;
  /** How often it was closed: an operation that failed can tell whether a change came between. */
  #closings = 0;

  constructor(waitMs = longestWaitMs) {
    this.#waitMs = waitMs;
  }

  get closings(): number {
    return this.#closings;
  }

  get isOpen(): boolean {
    return this.#closed === undefined;
  }

  /** Runs an operation once the gate is open. @throws ApiError `busy` when it stays closed for long */
  async pass<Result>(operation: () => Promise<Result>): Promise<Result> {
    // Nothing may come between the last look and the entry: a change would count those inside without this one.
    while (this.#closed !== undefined) await this.waitOpen();
    this.#inside++;
    try {
      return await operation();
    } finally {
      this.#inside--;
      if (this.#inside === 0) this.#empty?.();
    }
  }

  /** Waits until no change is under way. */
  async waitOpen(): Promise<void> {
    const end = Date.now() + this.#waitMs;
    while (this.#closed !== undefined) {
      const left = end - Date.now();
      if (left <= 0) throw new ApiError('busy', 'a change of the sandbox is under way and takes long');
      await Promise.race([this.#closed.promise, delay(left, undefined, { ref: false })]);
    }
  }

  /**
   * Closes the gate and waits for the operations inside, at most `patienceMs`; what is still inside then is going
   * to be cut off. Callers see to it that only one change is under way.
   */
  async close(patienceMs: number): Promise<void> {
    this.#closed ??= Promise.withResolvers<void>();
    this.#closings++;
    if (this.#inside === 0) return;
    const empty = new Promise<void>((resolve) => {
      this.#empty = resolve;
    });
    await Promise.race([empty, delay(patienceMs, undefined, { ref: false })]);
    this.#empty = undefined;
  }

  open(): void {
    this.#closed?.resolve();
    this.#closed = undefined;
  }
}

/**
 * Closes a machine to operations for the time of `change`, and opens it again whatever happens. A machine that the
 * change ended stays closed to those who hold it; they look it up again.
 */
export async function withGateClosed<Result>(
  { gate }: { readonly gate: Gate },
  change: () => Promise<Result>,
): Promise<Result> {
  await gate.close(patienceMs);
  try {
    return await change();
  } finally {
    gate.open();
  }
}
