import { ConflictError, ConnectionError, InvalidRequestError, ServerError } from '../errors.ts';
import type { OpenComputerError } from '../errors.ts';

/** Close codes with which a server refuses what this client sent; to reconnect would only send it again. */
const refusals = new Set([1002, 1003, 1007, 1008, 1009]);

/** The error for a socket that closed before the command ended. */
export function closeError(sessionId: string, code: number, reason: string): OpenComputerError {
  const text = reason === '' ? `close code ${code}` : `close code ${code}: ${reason}`;
  const details = { sessionId, closeCode: code };
  if (refusals.has(code))
    return new InvalidRequestError(`the server ended the connection to session ${sessionId} (${text})`, {
      code: 'session_refused',
      details,
    });
  return new ConnectionError(`the connection to session ${sessionId} broke (${text})`, {
    code: 'connection_lost',
    hint: 'The session goes on; attach to it again.',
    details,
    requestSent: true,
  });
}

/** The error of a session that could not reconnect. */
export function lostForGood(
  sessionId: string,
  offset: number,
  timeoutMs: number,
  last: OpenComputerError,
): ConnectionError {
  return new ConnectionError(`no connection to session ${sessionId} for ${timeoutMs} ms: ${last.message}`, {
    code: 'connection_lost',
    hint: `The session may go on; attach('${sessionId}', { from: ${offset} }) continues when the server is back`,
    details: { sessionId, offset },
    requestSent: true,
    cause: last,
  });
}

/** The error for a frame that no server of this protocol sends. */
export function brokenFrame(sessionId: string, cause: RangeError): ServerError {
  return new ServerError(`the server sent a broken frame for session ${sessionId}: ${cause.message}`, {
    code: 'unexpected_answer',
    hint: 'Check that server and client are of versions that fit together.',
    cause,
  });
}

/** The error for input to a session that takes no more. */
export function noInput(sessionId: string, why: string): ConflictError {
  return new ConflictError(`session ${sessionId} ${why} and takes no input`, {
    code: 'session_ended',
    hint: 'Start another one.',
    details: { sessionId },
  });
}
