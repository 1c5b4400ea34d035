import { type HeartbeatQuestion, isHeartbeatAnswer } from '@opencomputer/process/heartbeat';

/** How a part is asked whether it works. */
export interface WatchdogOptions {
  /** Milliseconds between two questions. */
  readonly intervalMs: number;
  /** After this many unanswered questions in a row, a part that was ready is killed. */
  readonly silences: number;
  /** The same for a part that is starting: it may have to migrate a large database. */
  readonly startingSilences: number;
  /** Milliseconds that a probe of the part may wait for a thread; a slow disk may block all threads for a while. */
  readonly probeMs: number;
}

export const defaultWatchdog: WatchdogOptions = {
  intervalMs: 10_000,
  silences: 3,
  startingSilences: 60,
  probeMs: 120_000,
};

/** The part that a watchdog watches. */
export interface Watched {
  /** Sends the question; the answer is passed to `heard`. */
  ask(question: HeartbeatQuestion): void;
  /** Called once, with the reason. */
  dead(reason: string): void;
}

/**
 * Finds out whether the event loop or all threads of a part are blocked. After a pause of this process itself (on a
 * suspended or overloaded host), missing answers are not counted against the part.
 */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #watched: Watched;
  readonly #timer: NodeJS.Timeout;
  #asked = 0;
  #answered = 0;
  #silences = 0;
  #probeMs = 0;
  #ready = false;
  #lastTick: number;

  constructor(watched: Watched, options: WatchdogOptions, now = performance.now()) {
    this.#watched = watched;
    this.#options = options;
    this.#lastTick = now;
    this.#timer = setInterval(() => this.tick(performance.now()), options.intervalMs);
  }

  /** Handles a message of the part. */
  heard(message: unknown): void {
    if (message === 'ready') {
      this.#ready = true;
      this.#silences = 0;
    }
    if (!isHeartbeatAnswer(message) || message.heartbeat > this.#asked) return;
    // A late answer counts as well.
    this.#silences = 0;
    this.#answered = Math.max(this.#answered, message.heartbeat);
    this.#probeMs = message.probeMs;
  }

  /** Checks the last question, and asks the next one. @param now Milliseconds of a monotonic clock */
  tick(now: number): void {
    const { intervalMs, silences, startingSilences, probeMs } = this.#options;
    const late = now - this.#lastTick > 2 * intervalMs;
    this.#lastTick = now;
    if (late || this.#answered === this.#asked) this.#silences = 0;
    else this.#silences += 1;
    if (this.#silences >= (this.#ready ? silences : startingSilences))
      return this.#end(`its event loop has not answered for ${seconds(this.#silences * intervalMs)}`);
    if (!late && this.#probeMs > probeMs)
      return this.#end(`it has had no free thread for files for ${seconds(this.#probeMs)}`);
    this.#asked += 1;
    this.#watched.ask({ heartbeat: this.#asked });
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #end(reason: string): void {
    this.stop();
    this.#watched.dead(reason);
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
