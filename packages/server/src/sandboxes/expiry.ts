import { ApiError, type GuestUse } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';
import { saveActivity } from '../store/sandboxes.ts';
import type { Store } from '../store/tables.ts';
import type { IdleClock } from './idle-clock.ts';
import type { SandboxService } from './service.ts';

const sweepMs = 1000;
const saveMs = 5000;
/** When to look again at one that could not be hibernated; the pause before the next attempt doubles each time. */
const againMs = 30_000;
const longestPauseMs = 1800_000;
const failuresKept = 10_000;
/** A guest that has not told so often in a row what it has in use is taken to use nothing. */
const silencesMax = 3;

export interface ExpiryOptions {
  readonly store: Store;
  readonly idle: IdleClock;
  /** Asks what a sandbox has in use. */
  readonly use: (id: string) => Promise<GuestUse>;
  readonly sandboxes: Pick<SandboxService, 'expire'>;
  readonly log: Log;
  /** Whether any worker can be asked; until then nothing expires. */
  readonly connected: () => boolean;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

/**
 * Hibernates sandboxes that nobody uses, and writes down when they were last used. What goes on inside a sandbox is
 * asked for when its time is over: so it need not be followed, and a restart of server or worker forgets nothing.
 */
export class Expiry {
  readonly #options: ExpiryOptions;
  readonly #now: () => number;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Sandboxes that could not be hibernated. */
  readonly #failed = new Map<string, { readonly times: number; readonly notBefore: number }>();
  /** How often in a row guests have not told what they have in use. */
  readonly #silences = new Map<string, number>();
  readonly #underWay = new Set<string>();

  constructor(options: ExpiryOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  start(): void {
    this.#timers.push(setInterval(() => void this.sweep(), sweepMs));
    this.#timers.push(setInterval(() => void this.save(), saveMs));
  }

  /** Hibernates every sandbox whose time is over and in which nothing is in use. */
  async sweep(): Promise<void> {
    if (!this.#options.connected()) return;
    await Promise.all(this.#options.idle.takeExpired(againMs).map((id) => this.#expire(id)));
  }

  /** Writes last uses down: those that have moved enough, or all. */
  async save(all = false): Promise<void> {
    const { idle, store, log } = this.#options;
    const unsaved = idle.takeUnsaved(all);
    if (unsaved.length === 0) return;
    try {
      await saveActivity(store, unsaved);
    } catch (error) {
      log.error({ err: error }, 'times of last use not saved');
    }
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.save(true);
  }

  async #expire(id: string): Promise<void> {
    const failed = this.#failed.get(id);
    if (this.#underWay.has(id) || (failed !== undefined && this.#now() < failed.notBefore)) return;
    const { idle, log, sandboxes } = this.#options;
    this.#underWay.add(id);
    try {
      const use = await this.#ask(id);
      if (use !== undefined) idle.guestUse(id, use);
      if (!idle.expired(id)) return idle.rearm(id);
      log.info({ sandboxId: id }, 'hibernating an idle sandbox');
      await sandboxes.expire(id);
      this.#failed.delete(id);
    } catch (error) {
      // Nothing that its sandbox is to blame for: it comes up again, and soon once its worker is back.
      if (error instanceof ApiError && error.code === 'worker_unavailable') {
        log.debug({ err: error, sandboxId: id }, 'idle sandbox not hibernated while its worker is away');
        return;
      }
      const times = (failed?.times ?? 0) + 1;
      const pauseMs = Math.min(againMs * 2 ** Math.min(times - 1, 20), longestPauseMs);
      if (this.#failed.size >= failuresKept) this.#failed.clear();
      // A little less, since it comes up only every so often.
      this.#failed.set(id, { times, notBefore: this.#now() + pauseMs - againMs / 2 });
      log.warn({ err: error, sandboxId: id, pauseMs }, 'idle sandbox not hibernated, trying again');
    } finally {
      this.#underWay.delete(id);
    }
  }

  /** What a sandbox has in use; undefined when its guest has not told for long. */
  async #ask(id: string): Promise<GuestUse | undefined> {
    const { log } = this.#options;
    try {
      const use = await this.#options.use(id);
      this.#silences.delete(id);
      return use;
    } catch (error) {
      const silent =
        error instanceof ApiError &&
        ['guest_failed', 'guest_timeout', 'worker_timeout', 'busy'].includes(error.code);
      if (!silent) throw error;
      const times = (this.#silences.get(id) ?? 0) + 1;
      if (this.#silences.size >= failuresKept) this.#silences.clear();
      this.#silences.set(id, times);
      if (times < silencesMax) throw error;
      log.warn({ err: error, sandboxId: id, times }, 'a guest does not tell what it has in use');
      return undefined;
    }
  }
}
