import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { commonHeaders } from '../api/context.ts';
import { toApiError } from './errors.ts';
import type { Log } from '../observe/log.ts';

/** Answers a request for an upgrade as any request that fails. @returns the status */
export function refuseUpgrade(socket: Duplex, error: unknown, requestId: string, log: Log): number {
  const told = toApiError(error, log, requestId);
  const body = JSON.stringify(told.toBody(requestId));
  const headers = {
    ...commonHeaders(requestId),
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  if (socket.writable)
    socket.end(
      `HTTP/1.1 ${told.status} ${STATUS_CODES[told.status] ?? 'Error'}\r\n${head.join('')}\r\n${body}`,
    );
  return told.status;
}
