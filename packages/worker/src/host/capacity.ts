import { admit, startingMemoryMB } from './admission.ts';
import type { Admission, CapacityConfig, Commitments, MachineDemand } from './admission.ts';
import type { HostReadings } from './readings.ts';

export { admit, defaultCapacity } from './admission.ts';
export type { Admission, AdmissionRequest, CapacityConfig, Commitments, MachineDemand } from './admission.ts';

/** How long a machine counts as starting after it began to run: until then the readings don't show what it takes. */
export const settlingMs = 30_000;

interface Entry {
  readonly memoryMB: number;
  readonly diskMB: number;
  /** On the clock of `now`; undefined until the machine runs. */
  startedAt: number | undefined;
}

export interface CapacityOptions {
  readonly config: CapacityConfig;
  /** What the host has at this moment, e.g. `() => readHost(dataDirectory)`. */
  readonly readings: () => Promise<HostReadings>;
  /** Milliseconds on a clock that never goes back. */
  readonly now?: () => number;
}

/** What the machines of this host have been promised. Creates may run at once: each is counted before it starts. */
export class Capacity {
  readonly #options: CapacityOptions;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(options: CapacityOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Asks for room for a machine, and takes it if there is any: then follow with `started` or `release`.
   * Throws if the machine has room already, or the readings can't be had.
   */
  async reserve(machineId: string, demand: MachineDemand): Promise<Admission> {
    const host = await this.#options.readings();
    // From here on nothing is awaited, so that no other reservation comes between decision and entry.
    this.#assertUnknown(machineId);
    const { config } = this.#options;
    const { memoryMB, diskMB } = demand;
    const decision = admit({ memoryMB, diskMB, host, config, current: this.commitments() });
    if (decision.ok) this.#entries.set(machineId, { memoryMB, diskMB, startedAt: undefined });
    return decision;
  }

  /** Notes that a machine runs; 30 s later the readings speak for it. Throws if it has no room. */
  started(machineId: string): void {
    const entry = this.#entries.get(machineId);
    if (entry === undefined) throw new Error(`machine ${machineId} has no reserved capacity`);
    entry.startedAt ??= this.#now();
  }

  /** Counts a machine that has been running since before this worker started, whether or not it fits. */
  adopt(machineId: string, memoryMB: number): void {
    this.#assertUnknown(machineId);
    this.#entries.set(machineId, { memoryMB, diskMB: 0, startedAt: this.#now() - settlingMs });
  }

  /** Gives a machine's room back. Says whether it had any, so that it may be called twice. */
  release(machineId: string): boolean {
    return this.#entries.delete(machineId);
  }

  /** What has been promised at this moment. */
  commitments(): Commitments {
    const settledBefore = this.#now() - settlingMs;
    const entries = [...this.#entries.values()];
    const starting = entries.filter(({ startedAt }) => startedAt === undefined || startedAt > settledBefore);
    return {
      machines: entries.length,
      committedMB: sum(entries.map(({ memoryMB }) => memoryMB)),
      startingMemoryMB: sum(starting.map(({ memoryMB }) => startingMemoryMB(memoryMB))),
      startingDiskMB: sum(starting.map(({ diskMB }) => diskMB)),
    };
  }

  #assertUnknown(machineId: string): void {
    if (this.#entries.has(machineId)) throw new Error(`machine ${machineId} has reserved capacity already`);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, value) => total + value, 0);
}
