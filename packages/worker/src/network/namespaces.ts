import { guestNetwork } from './addresses.ts';
import { Destroyer } from './destroyer.ts';
import { Indexes } from './indexes.ts';
import { Pool } from './pool.ts';
import { removeBlock } from './record.ts';
import { setUp } from './setup.ts';
import type { Setup, SetupOptions } from './setup.ts';
import { makeSlots, namespacePath, repairSlot, slotWhole } from './slots.ts';
import { slotLimit } from './subnet.ts';
import { NetworkFullError } from './types.ts';
import type { Network, NetworkOptions, NetworkSlot } from './types.ts';

const remakeAfterMs = 5000;

/** Networks with one namespace per machine. */
export class NamespaceNetwork implements Network {
  readonly mode = 'namespace';
  readonly #options: NetworkOptions;
  readonly #setup: Setup;
  readonly #destroyer: Destroyer;
  readonly #pool: Pool;
  readonly #indexes = new Indexes(slotLimit);
  readonly #held = new Map<number, NetworkSlot>();
  readonly #leftovers: Map<number, string[]>;
  readonly #doomed = new Map<number, Promise<void>>();
  #closing: Promise<void> | undefined;

  private constructor(options: NetworkOptions, setup: Setup) {
    this.#options = options;
    this.#setup = setup;
    this.#destroyer = new Destroyer(setup.fabric.names);
    this.#leftovers = new Map(setup.leftovers);
    for (const index of this.#leftovers.keys()) {
      if (index < slotLimit) this.#indexes.reserve(index);
    }
    this.#pool = new Pool({
      warm: options.warm,
      make: (count) => this.#make(count),
      usable: (index) => slotWhole(setup.fabric.names, index),
      discard: (index) => {
        options.log.warn({ index }, 'a ready network slot was removed from outside');
        this.#drop(index);
      },
      onRefillError: (error) =>
        options.log.error({ err: error }, 'network slots could not be made in advance'),
      retryMs: remakeAfterMs,
    });
  }

  /** @throws Error when the host cannot be prepared; nothing is left behind then. */
  static async open(options: SetupOptions): Promise<NamespaceNetwork> {
    let network: NamespaceNetwork | undefined;
    const setup = await setUp(options, async () => {
      if (network !== undefined) await network.#reattach();
    });
    network = new NamespaceNetwork(options, setup);
    return network;
  }

  async claim(): Promise<NetworkSlot> {
    return this.#hold(await this.#pool.claim());
  }

  async adopt(index: number): Promise<NetworkSlot> {
    const { names } = this.#setup.fabric;
    if (!this.#leftovers.has(index)) {
      throw new Error(`network namespace ${names.namespace(index)} does not exist or is already in use`);
    }
    await repairSlot(this.#setup.fabric, index);
    if (!this.#leftovers.delete(index)) {
      throw new Error(`network namespace ${names.namespace(index)} was removed while it was adopted`);
    }
    return this.#hold(index);
  }

  async release(slot: NetworkSlot): Promise<void> {
    const { index } = slot;
    // Released a second time, a slot must not affect the machine that may have its number by now.
    if (this.#held.get(index) !== slot && !this.#leftovers.has(index)) return;
    await this.#destroy(index);
  }

  async sweep(keep: Iterable<number>): Promise<string[]> {
    const kept = new Set(keep);
    const doomed = [...this.#leftovers].filter(([index]) => !kept.has(index));
    await Promise.all(doomed.map(([index]) => this.#destroy(index)));
    return doomed.flatMap(([, names]) => names);
  }

  close({ keep }: { keep: boolean }): Promise<void> {
    this.#closing ??= this.#close(keep);
    return this.#closing;
  }

  async #close(keep: boolean): Promise<void> {
    const { host, stopDns } = this.#setup;
    const ready = await this.#pool.close();
    await host.stop();
    const others = keep ? [] : [...this.#held.keys(), ...this.#leftovers.keys()];
    const results = await Promise.allSettled([...ready, ...others].map((index) => this.#destroy(index)));
    await stopDns();
    if (!keep) {
      await host.remove();
      await removeBlock(this.#options.stateDir);
    }
    const failed = results.filter((result) => result.status === 'rejected');
    if (failed.length > 0) {
      throw new AggregateError(
        failed.map(({ reason }) => reason as unknown),
        `${failed.length} network slots could not be removed`,
      );
    }
  }

  #hold(index: number): NetworkSlot {
    const { names, uidBase } = this.#setup.fabric;
    const slot: NetworkSlot = {
      mode: 'namespace',
      index,
      uid: uidBase + index,
      namespacePath: namespacePath(names, index),
      tap: guestNetwork.tap,
    };
    this.#held.set(index, slot);
    return slot;
  }

  async #make(count: number): Promise<number[]> {
    if (this.#indexes.available === 0) throw new NetworkFullError(slotLimit);
    const indexes = Array.from({ length: Math.min(count, this.#indexes.available) }, () =>
      this.#indexes.take(),
    );
    try {
      await makeSlots(this.#setup.fabric, indexes);
      return indexes;
    } catch (error) {
      // Usually gone already; what is left stays reserved, and the next sweep finds it.
      for (const index of indexes) this.#drop(index);
      throw error;
    }
  }

  /** Destroys a slot in the background. */
  #drop(index: number): void {
    this.#destroy(index).catch((error: unknown) => {
      this.#options.log.error({ err: error, index }, 'a network slot could not be removed');
    });
  }

  /** Runs once, however often it is called: right after it, the number may belong to another machine. */
  #destroy(index: number): Promise<void> {
    const known = this.#doomed.get(index);
    if (known !== undefined) return known;
    const work = this.#destroyOnce(index).finally(() => this.#doomed.delete(index));
    this.#doomed.set(index, work);
    return work;
  }

  async #destroyOnce(index: number): Promise<void> {
    const { names } = this.#setup.fabric;
    try {
      await this.#destroyer.destroy(index);
    } catch (error) {
      this.#held.delete(index);
      this.#leftovers.set(index, [names.namespace(index)]);
      throw error;
    }
    this.#held.delete(index);
    this.#leftovers.delete(index);
    this.#indexes.free(index);
  }

  /** Attaches every slot in use to a bridge that was made again. */
  async #reattach(): Promise<void> {
    for (const index of this.#held.keys()) {
      try {
        await repairSlot(this.#setup.fabric, index);
      } catch (error) {
        this.#options.log.error({ err: error, index }, 'a machine could not be attached to the bridge again');
      }
    }
  }
}
