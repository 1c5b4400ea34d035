import { revokedAmong } from '../store/keys.ts';
import type { Log } from '../observe/log.ts';
import type { Store } from '../store/tables.ts';

/** Keys are revoked by another process too, so they are looked up so often. */
const lookMs = 500;

/** Ends what stays open for long when the key that opened it is revoked. */
export class Revocations {
  readonly #store: Store;
  readonly #log: Log;
  readonly #open = new Map<string, Set<() => void>>();
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
    this.#timer = setInterval(() => void this.#look(), lookMs).unref();
  }

  /**
   * Calls `end` within about half a second of the revocation.
   * @param keyId undefined for a token of an earlier release, which does not know its key
   * @returns forgets it; call it when it has ended
   */
  watch(keyId: string | undefined, end: () => void): () => void {
    if (keyId === undefined) return () => undefined;
    const ends = this.#open.get(keyId) ?? new Set();
    this.#open.set(keyId, ends.add(end));
    return () => {
      ends.delete(end);
      if (ends.size === 0 && this.#open.get(keyId) === ends) this.#open.delete(keyId);
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#open.size === 0 || this.#looking) return;
    this.#looking = true;
    try {
      for (const keyId of await revokedAmong(this.#store, [...this.#open.keys()]))
        for (const end of this.#open.get(keyId) ?? []) end();
    } catch (error) {
      // The next look tries again; requests are refused by looks of their own.
      this.#log.warn({ err: error }, 'revoked keys not looked up');
    } finally {
      this.#looking = false;
    }
  }
}
