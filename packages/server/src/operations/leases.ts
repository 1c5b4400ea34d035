import { randomUUID } from 'node:crypto';
import type { Log } from '../observe/log.ts';
import { releaseLeases, renewLeases } from '../store/operations.ts';
import type { Store } from '../store/tables.ts';

/** Another server has taken an operation over: this one may write nothing more of it. */
export class LeaseLost extends Error {
  constructor(operationId: string) {
    super(`operation ${operationId} was taken over by another server`);
  }
}

export interface LeaseOptions {
  readonly store: Store;
  readonly log: Log;
  /** Milliseconds after which others may take over what a server does not renew. */
  readonly leaseMs: number;
}

/** The operations that this server runs: each is its own for as long as it renews the lease in the row. */
export class Leases {
  /** The name of this server in the rows. */
  readonly owner = randomUUID();
  readonly #options: LeaseOptions;
  readonly #held = new Map<string, AbortController>();
  readonly #timer: NodeJS.Timeout;
  #renewing: Promise<void> | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      this.#renewing ??= this.#renew().finally(() => {
        this.#renewing = undefined;
      });
    }, options.leaseMs / 3).unref();
  }

  /** When a lease that is written now is over, in Unix milliseconds. */
  until(): number {
    return Date.now() + this.#options.leaseMs;
  }

  /** Renews the lease of an operation of this server while `work` runs. @param work Its signal: the lease was lost. */
  async hold<T>(operationId: string, work: (lost: AbortSignal) => Promise<T>): Promise<T> {
    const lost = new AbortController();
    this.#held.set(operationId, lost);
    try {
      return await work(lost.signal);
    } finally {
      this.#held.delete(operationId);
    }
  }

  /** Leaves what is unfinished to other servers. To be called once none of it is run here any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    const { store, log } = this.#options;
    try {
      await releaseLeases(store, this.owner);
    } catch (error) {
      log.warn({ err: error }, 'leases of operations not released: other servers wait for their end');
    }
  }

  async #renew(): Promise<void> {
    const held = new Map(this.#held);
    if (held.size === 0) return;
    const { store, log } = this.#options;
    try {
      const renewed = new Set(await renewLeases(store, this.owner, [...held.keys()], this.until()));
      for (const [id, lost] of held)
        if (!renewed.has(id) && this.#held.get(id) === lost) lost.abort(new LeaseLost(id));
    } catch (error) {
      // The next one may succeed before the leases are over; if not, the rows say who owns them.
      log.warn({ err: error, operations: held.size }, 'leases of operations not renewed');
    }
  }
}
