import { ApiError } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';

/** Why work for a client that went away is broken off: nobody's fault, and nobody reads the answer. */
export class ClientGone extends Error {
  constructor() {
    super('the client went away');
  }
}

/** Codes of the databases for a full disk: SQLITE_FULL, and https://www.postgresql.org/docs/15/errcodes-appendix.html. */
const sqliteFull = 13;
const postgresFull = '53100';

/** What a client is told of an error. What it should not have caused is logged with its stack. */
export function toApiError(error: unknown, log: Log, requestId: string): ApiError {
  if (error instanceof ApiError) {
    if (error.status >= 500) log.warn({ err: error, requestId }, 'request failed');
    return error.forClient();
  }
  // A wait that was aborted carries the reason as its cause.
  if (error instanceof ClientGone || (error as Error | null)?.cause instanceof ClientGone) {
    log.debug({ requestId }, 'the client went away');
    return new ApiError('internal', 'the client went away');
  }
  log.error({ err: error, requestId }, 'request failed unexpectedly');
  const { errcode, code } = (error ?? {}) as { errcode?: unknown; code?: unknown };
  if (errcode === sqliteFull || code === postgresFull)
    return new ApiError('no_space', 'the disk of the server is full');
  return new ApiError('internal', 'an internal error; the log of the server has more');
}
