import { ConnectionError, OpenComputerError } from './errors.ts';

/** Attempts of one call, the first included. */
const maxAttempts = 3;
const firstPauseMs = 100;
/** A server that wants us to wait longer than this gets its error told to the caller instead. */
const longestRetryAfterMs = 5000;

/** Failures to connect that often pass: a server that restarts, a resolver that hiccups. */
const passing = new Set(['ECONNREFUSED', 'EAI_AGAIN']);

/** What decides whether a request may be sent again. */
export interface Repeatability {
  /** Doing it twice is the same as doing it once. */
  readonly idempotent: boolean;
  /** The body can be produced again. */
  readonly replayable: boolean;
}

/**
 * Milliseconds to wait before the next attempt, or undefined when there must be none: only requests that
 * are idempotent, or that the server certainly has not seen, are sent again.
 */
export function retryPauseMs(
  error: unknown,
  attempt: number,
  { idempotent, replayable }: Repeatability,
): number | undefined {
  if (attempt >= maxAttempts || !replayable || !(error instanceof OpenComputerError)) return undefined;
  if (error instanceof ConnectionError) {
    if (!error.requestSent) return passing.has(systemCode(error)) ? backOffMs(attempt) : undefined;
    return idempotent ? backOffMs(attempt) : undefined;
  }
  if (!idempotent || error.status !== 503 || error.retryAfterMs === undefined) return undefined;
  return error.retryAfterMs <= longestRetryAfterMs ? error.retryAfterMs + backOffMs(attempt) : undefined;
}

/** Doubles from 100 ms up to 2 s; half of it is random, so that many clients don't come back together. */
export function backOffMs(attempt: number): number {
  const pause = Math.min(firstPauseMs * 2 ** (attempt - 1), 2000);
  return pause / 2 + (Math.random() * pause) / 2;
}

function systemCode(error: ConnectionError): string {
  return String(error.details['systemCode']);
}

/** A server that restarts refuses, breaks off or answers 502 to 504 for a while; what runs in a sandbox doesn't notice. */
export function mayPass(error: unknown): error is OpenComputerError {
  if (error instanceof ConnectionError) return true;
  if (!(error instanceof OpenComputerError)) return false;
  return error.code === 'request_timeout' || [502, 503, 504].includes(error.status ?? 0);
}
