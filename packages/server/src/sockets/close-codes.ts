import { ApiError } from '@opencomputer/protocol';

/** The end of a client's connection that is nobody's failure. */
export class ClosedByPlatform extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** How a WebSocket is closed for an error. */
export function closeOf(error: unknown): { code: number; reason: string } {
  if (error instanceof ClosedByPlatform) return { code: error.code, reason: error.message };
  if (!(error instanceof ApiError)) return { code: 1011, reason: 'an internal error' };
  if (error.code === 'shutting_down') return { code: 1012, reason: error.message };
  if (error.code === 'exec_not_found')
    return { code: 1011, reason: 'the session is gone: the sandbox was started anew or put back' };
  return { code: 1011, reason: error.message };
}
