import { ConnectionError, OpenComputerError } from './errors.ts';

/** Attempts of one call, the first included. */
const maxAttempts = 3;
const firstPauseMs = 100;
/** When a server asks for a longer wait than this, the caller gets its error instead. */
const longestRetryAfterMs = 5000;

/** Failures to connect that are often temporary: a server that restarts, a resolver with a short problem. */
const passing = new Set(['ECONNREFUSED', 'EAI_AGAIN']);

/** What decides whether a request may be sent again. */
export interface Repeatability {
  /** Doing it twice is the same as doing it once. */
  readonly idempotent: boolean;
  /** The body can be sent again. */
  readonly replayable: boolean;
}

/**
 * Milliseconds to wait before the next attempt; undefined when there must be none. Only requests that are idempotent,
 * or that the server has certainly not received, are sent again.
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

/** Doubles from 100 ms up to 2 s; half of it is random, so that many clients don't retry at the same time. */
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
