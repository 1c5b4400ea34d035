import { admit, startingMemoryMB } from './admission.ts';
import type { Admission, CapacityConfig, Commitments, MachineDemand } from './admission.ts';
import type { HostReadings } from './readings.ts';

export { admit, defaultCapacity } from './admission.ts';
export type { Admission, AdmissionRequest, CapacityConfig, Commitments, MachineDemand } from './admission.ts';

/** How long a machine counts as starting after it began to run: until then the readings don't show what it uses. */
export const settlingMs = 30_000;

interface Entry {
  readonly memoryMB: number;
  readonly diskMB: number;
  /** On the clock of `now`; undefined until the machine runs. */
  startedAt: number | undefined;
}

export interface CapacityOptions {
  readonly config: CapacityConfig;
  /** Reads what the host has now, e.g. `() => readHost(dataDirectory)`. */
  readonly readings: () => Promise<HostReadings>;
  /** Milliseconds on a clock that never goes back. */
  readonly now?: () => number;
}

/**
 * What the machines of this host have been promised. Several may be created at once: each is counted before it starts.
 */
export class Capacity {
  readonly #options: CapacityOptions;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(options: CapacityOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Reserves room for a machine, if there is any: then call `started` or `release`.
   * @throws Error when the machine has room already, or the host cannot be read
   */
  async reserve(machineId: string, demand: MachineDemand): Promise<Admission> {
    const host = await this.#options.readings();
    // No await from here on, so that no other reservation comes between the decision and the entry.
    this.#assertUnknown(machineId);
    const { config } = this.#options;
    const { memoryMB, diskMB } = demand;
    const decision = admit({ memoryMB, diskMB, host, config, current: this.commitments() });
    if (decision.ok) this.#entries.set(machineId, { memoryMB, diskMB, startedAt: undefined });
    return decision;
  }

  /** Records that a machine runs; 30 s later the readings include it. @throws Error when it has no room */
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

  /** Gives a machine's room back. May be called twice. @returns whether it had room */
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
