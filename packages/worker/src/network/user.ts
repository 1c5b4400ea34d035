import { Indexes } from './indexes.ts';
import { slotLimit } from './subnet.ts';
import type { Network, NetworkSlot } from './types.ts';

/** QEMU's own user networking, where namespaces are not possible: nothing to make, nothing to leave behind. */
export class UserNetwork implements Network {
  readonly mode = 'user';
  readonly #indexes = new Indexes(slotLimit);
  readonly #uidBase: number;

  constructor(uidBase: number) {
    this.#uidBase = uidBase;
  }

  async claim(): Promise<NetworkSlot> {
    return this.#slot(this.#indexes.take());
  }

  async adopt(index: number): Promise<NetworkSlot> {
    this.#indexes.reserve(index);
    return this.#slot(index);
  }

  async release(slot: NetworkSlot): Promise<void> {
    this.#indexes.free(slot.index);
  }

  async sweep(): Promise<string[]> {
    return [];
  }

  async close(): Promise<void> {
    // There is nothing outside QEMU's own process.
  }

  #slot(index: number): NetworkSlot {
    const own = process.getuid?.() ?? 0;
    return { mode: 'user', index, uid: own === 0 ? this.#uidBase + index : own };
  }
}
