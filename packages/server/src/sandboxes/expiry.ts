import type { Log } from '../observe/log.ts';
import { saveActivity } from '../store/sandboxes.ts';
import type { Store } from '../store/tables.ts';
import type { IdleClock } from './idle-clock.ts';
import type { RunningCommands } from './running-commands.ts';
import type { SandboxService } from './service.ts';

const sweepMs = 1000;
const saveMs = 5000;
/** When to look again at one that could not be hibernated; the pause before the next attempt doubles each time. */
const againMs = 30_000;
const longestPauseMs = 1800_000;
const failuresKept = 10_000;

/** Hibernates sandboxes that nobody uses, and writes down when they were last used. */
export class Expiry {
  readonly #store: Store;
  readonly #idle: IdleClock;
  readonly #commands: RunningCommands;
  readonly #sandboxes: SandboxService;
  readonly #log: Log;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Sandboxes that could not be hibernated. */
  readonly #failed = new Map<string, { readonly times: number; readonly notBefore: number }>();

  constructor(store: Store, idle: IdleClock, commands: RunningCommands, sandboxes: SandboxService, log: Log) {
    this.#store = store;
    this.#idle = idle;
    this.#commands = commands;
    this.#sandboxes = sandboxes;
    this.#log = log;
  }

  start(): void {
    this.#timers.push(setInterval(() => void this.sweep(), sweepMs));
    this.#timers.push(setInterval(() => void this.save(), saveMs));
  }

  /** Hibernates every sandbox whose time is over and in which no command runs. */
  async sweep(): Promise<void> {
    await Promise.all(this.#idle.takeExpired(againMs).map((id) => this.#expire(id)));
  }

  async save(): Promise<void> {
    const unsaved = this.#idle.takeUnsaved();
    if (unsaved.length === 0) return;
    try {
      await saveActivity(this.#store, unsaved);
    } catch (error) {
      this.#log.error({ err: error }, 'times of last use not saved');
    }
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.save();
  }

  async #expire(id: string): Promise<void> {
    const failed = this.#failed.get(id);
    if (failed !== undefined && performance.now() < failed.notBefore) return;
    try {
      const atWork = await this.#commands.lastAtWork(id);
      if (atWork !== undefined) this.#idle.touch(id, atWork);
      if (!this.#idle.expired(id)) return this.#idle.rearm(id);
      this.#log.info({ sandboxId: id }, 'hibernating an idle sandbox');
      await this.#sandboxes.expire(id);
      this.#failed.delete(id);
    } catch (error) {
      const times = (failed?.times ?? 0) + 1;
      const pauseMs = Math.min(againMs * 2 ** Math.min(times - 1, 20), longestPauseMs);
      if (this.#failed.size >= failuresKept) this.#failed.clear();
      // A little less, since it comes up only every so often.
      this.#failed.set(id, { times, notBefore: performance.now() + pauseMs - againMs / 2 });
      this.#log.warn({ err: error, sandboxId: id, pauseMs }, 'idle sandbox not hibernated, trying again');
    }
  }
}
