import type { Log } from '../observe/log.ts';
import { saveActivity } from '../store/sandboxes.ts';
import type { Store } from '../store/tables.ts';
import type { IdleClock } from './idle-clock.ts';
import type { RunningCommands } from './running-commands.ts';
import type { SandboxService } from './service.ts';

const sweepMs = 1000;
const saveMs = 5000;
/** When to try again to stop one that could not be stopped. */
const againMs = 30_000;

/** Stops sandboxes that nobody uses, and writes down when they were last used. */
export class Expiry {
  readonly #store: Store;
  readonly #idle: IdleClock;
  readonly #commands: RunningCommands;
  readonly #sandboxes: SandboxService;
  readonly #log: Log;
  readonly #timers: NodeJS.Timeout[] = [];

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

  /** Stops every sandbox whose time is over and in which no command runs. */
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
    try {
      const atWork = await this.#commands.lastAtWork(id);
      if (atWork !== undefined) this.#idle.touch(id, atWork);
      if (!this.#idle.expired(id)) return this.#idle.rearm(id);
      this.#log.info({ sandboxId: id }, 'stopping an idle sandbox');
      await this.#sandboxes.expire(id);
      this.#commands.forget(id);
    } catch (error) {
      this.#log.warn({ err: error, sandboxId: id }, 'idle sandbox not stopped, trying again');
    }
  }
}
