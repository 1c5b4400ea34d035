import { type HeartbeatQuestion, isHeartbeatAnswer } from '@opencomputer/process/heartbeat';

/** How a part is asked for signs of life. */
export interface WatchdogOptions {
  /** Milliseconds between two questions. */
  readonly intervalMs: number;
  /** So many questions in a row without an answer end a part that was ready. */
  readonly silences: number;
  /** The same for one that starts: it may have a large database to bring up to date. */
  readonly startingSilences: number;
  /** Milliseconds that a probe of the part may wait for a thread; slow disks hold all of them for a while. */
  readonly probeMs: number;
}

export const defaultWatchdog: WatchdogOptions = {
  intervalMs: 10_000,
  silences: 3,
  startingSilences: 60,
  probeMs: 120_000,
};

/** What a watchdog watches. */
export interface Watched {
  /** Asks; the answer comes through `heard`. */
  ask(question: HeartbeatQuestion): void;
  /** Called once, with the reason. */
  dead(reason: string): void;
}

/**
 * Tells a part that works from one whose event loop or whose threads stand still. It does not trust its own clock:
 * after a pause of this process itself (a suspended or an overloaded host) nothing counts against the part.
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

  /** Takes a message of the part. */
  heard(message: unknown): void {
    if (message === 'ready') {
      this.#ready = true;
      this.#silences = 0;
    }
    if (!isHeartbeatAnswer(message) || message.heartbeat > this.#asked) return;
    // A late answer too is a sign of life.
    this.#silences = 0;
    this.#answered = Math.max(this.#answered, message.heartbeat);
    this.#probeMs = message.probeMs;
  }

  /** Looks what has become of the last question, and asks the next one. @param now Milliseconds of a steady clock */
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
