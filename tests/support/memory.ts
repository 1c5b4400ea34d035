import { residentBytes } from './processes.ts';

/** Samples what processes hold in memory, from now until it is disposed. */
export class MemoryWatch {
  readonly #start: Map<number, number>;
  readonly #peak: Map<number, number>;
  readonly #timer: NodeJS.Timeout;

  constructor(pids: readonly number[]) {
    this.#start = new Map(pids.map((pid) => [pid, residentBytes(pid)]));
    this.#peak = new Map(this.#start);
    this.#timer = setInterval(() => {
      for (const pid of pids) this.#peak.set(pid, Math.max(this.#peak.get(pid) ?? 0, residentBytes(pid)));
    }, 25);
  }

  /** The largest growth of any of the processes, in MiB. */
  get growthMB(): number {
    const growth = [...this.#peak].map(([pid, peak]) => peak - (this.#start.get(pid) ?? 0));
    return Math.max(...growth) / 1024 / 1024;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
