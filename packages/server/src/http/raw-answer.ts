import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ApiError } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';
import { toApiError } from './errors.ts';
import { commonHeaders } from './headers.ts';

/** Answers with an error on a connection that no HTTP server handles any more, and closes it. */
export function answerRaw(
  socket: Duplex,
  error: ApiError,
  { requestId, headers = {} }: { requestId?: string; headers?: Record<string, string> } = {},
): void {
  if (!socket.writable) return;
  const body = JSON.stringify(error.toBody(requestId));
  const all = {
    ...headers,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const status = `${error.status} ${STATUS_CODES[error.status] ?? 'Error'}`;
  socket.end(`HTTP/1.1 ${status}\r\n${head.join('')}\r\n${body}`);
}

/** Answers a request for an upgrade as any request that fails. @returns the status */
export function refuseUpgrade(socket: Duplex, error: unknown, requestId: string, log: Log): number {
  const answer = toApiError(error, log, requestId);
  answerRaw(socket, answer, { requestId, headers: commonHeaders(requestId) });
  return answer.status;
}
