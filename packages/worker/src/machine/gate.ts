import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from '@opencomputer/protocol';

/** How long a call waits for a change that is under way. */
const longestWaitMs = 120_000;
/** How long a change waits for calls that are under way before it cuts them off. */
const callsMayTakeMs = 10_000;

/**
 * Keeps calls to a machine's guest and changes of the machine apart: calls run side by side; a change waits for them
 * and makes new ones wait.
 */
export class Gate {
  readonly #waitMs: number;
  #inside = 0;
  #empty: (() => void) | undefined;
  #closed: PromiseWithResolvers<void> | undefined;
  /** How often it was closed: shows a call that failed whether a change began meanwhile. */
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

  /** Runs a call once the gate is open. @throws ApiError `busy` when it stays closed for long */
  async pass<Result>(call: () => Promise<Result>): Promise<Result> {
    // No await between this check and the count, or a change could begin without waiting for this call.
    while (this.#closed !== undefined) await this.waitOpen();
    this.#inside++;
    try {
      return await call();
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
   * Closes the gate and waits for the calls inside, at most `atMostMs`; the caller cuts off those that are left.
   * Callers make sure that only one change is under way.
   */
  async close(atMostMs: number): Promise<void> {
    this.#closed ??= Promise.withResolvers<void>();
    this.#closings++;
    if (this.#inside === 0) return;
    const empty = new Promise<void>((resolve) => {
      this.#empty = resolve;
    });
    await Promise.race([empty, delay(atMostMs, undefined, { ref: false })]);
    this.#empty = undefined;
  }

  open(): void {
    this.#closed?.resolve();
    this.#closed = undefined;
  }
}

/**
 * Closes the gate of a machine while `change` runs, and opens it again whatever happens. Calls that waited look the
 * machine up again, since the change may have replaced or ended it.
 */
export async function withGateClosed<Result>(
  { gate }: { readonly gate: Gate },
  change: () => Promise<Result>,
): Promise<Result> {
  await gate.close(callsMayTakeMs);
  try {
    return await change();
  } finally {
    gate.open();
  }
}
