import { residentMB } from '../host.ts';

const everyMs = 50;

/** Watches how far processes grow beyond what they have when it starts. */
export class GrowthWatch {
  readonly #pids: Readonly<Record<string, number>>;
  readonly #first: Record<string, number> = {};
  readonly #most: Record<string, number> = {};
  #timer: NodeJS.Timeout | undefined;
  #failure: unknown;

  private constructor(pids: Readonly<Record<string, number>>) {
    this.#pids = pids;
  }

  static async start(pids: Readonly<Record<string, number>>): Promise<GrowthWatch> {
    const watch = new GrowthWatch(pids);
    await watch.#sample();
    watch.#timer = setInterval(() => {
      watch.#sample().catch((error: unknown) => {
        watch.#failure = error;
      });
    }, everyMs);
    return watch;
  }

  async #sample(): Promise<void> {
    for (const [name, pid] of Object.entries(this.#pids)) {
      const now = await residentMB(pid);
      this.#first[name] ??= now;
      this.#most[name] = Math.max(this.#most[name] ?? 0, now);
    }
  }

  /** Ends it. @returns the largest growth of each process, in MB @throws Error when a process went away */
  stop(): Record<string, number> {
    clearInterval(this.#timer);
    if (this.#failure !== undefined)
      throw new Error('a process ended while it was watched', { cause: this.#failure });
    return Object.fromEntries(
      Object.entries(this.#most).map(([name, most]) => [name, most - (this.#first[name] ?? 0)]),
    );
  }
}
