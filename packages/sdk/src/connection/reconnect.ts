import { checkOptions } from '../check-options.ts';
import { invalidOption } from '../invalid-option.ts';
import { optionNames } from '../option-names.ts';
import { backOffMs } from '../retry.ts';

/** How long and how often a session tries to reconnect after its connection was lost. */
export interface ReconnectOptions {
  /** Milliseconds without a connection after which it gives up. Default 60,000. */
  timeoutMs?: number | undefined;
  /** Longest pause between two attempts, in milliseconds. Default 2000. */
  maxDelayMs?: number | undefined;
}

const defaultTimeoutMs = 60_000;
const defaultMaxDelayMs = 2000;
/** A connection that lasted this long was good, even if nothing was transferred. */
const stableMs = 5000;

/** The times of reconnecting: when to try again, and when to give up. */
export class Reconnection {
  readonly timeoutMs: number;
  readonly #maxDelayMs: number;
  #failures = 0;
  #since: number | undefined;
  #attachedAt = 0;

  /** @throws InvalidRequestError when an option is not a number of milliseconds */
  constructor(options: ReconnectOptions | false | undefined) {
    if (options !== false && options !== undefined) checkOptions('reconnect', options, optionNames.reconnect);
    this.timeoutMs = options === false ? 0 : milliseconds('timeoutMs', options?.timeoutMs, defaultTimeoutMs);
    this.#maxDelayMs = milliseconds(
      'maxDelayMs',
      options === false ? undefined : options?.maxDelayMs,
      defaultMaxDelayMs,
    );
  }

  /** A connection is open. It counts as a success only once something was transferred, or some time has passed. */
  attached(): void {
    this.#attachedAt = Date.now();
  }

  /** Something was transferred. */
  progress(): void {
    this.#failures = 0;
    this.#since = undefined;
  }

  /** A connection has broken off. */
  lost(): void {
    if (Date.now() - this.#attachedAt >= stableMs) this.progress();
    this.#since ??= Date.now();
  }

  /** Milliseconds until the next attempt; undefined when the time is up. */
  nextPauseMs(): number | undefined {
    this.#failures += 1;
    const pause = Math.min(backOffMs(this.#failures), this.#maxDelayMs);
    return this.#absentMs() + pause > this.timeoutMs ? undefined : pause;
  }

  /** Milliseconds that one attempt may take. */
  attemptMs(): number {
    return Math.max(1000, this.timeoutMs - this.#absentMs());
  }

  #absentMs(): number {
    return Date.now() - (this.#since ?? Date.now());
  }
}

function milliseconds(name: string, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (value >= 0) return value;
  throw invalidOption(`reconnect.${name} is not a number of milliseconds: ${value}`, 'Give 0 or more.');
}
