import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiError } from '@opencomputer/protocol';
import type { Logger } from 'pino';
import { asApiError } from './respond.ts';
import { makeRouter } from './router.ts';

/** A connection that is upgraded from HTTP once the handler has answered. */
export interface UpgradeCall {
  request: IncomingMessage;
  socket: Duplex;
  url: URL;
  id: string;
  execId: string;
  /** Aborts when the caller goes away. */
  signal: AbortSignal;
}

export type UpgradeHandler = (call: UpgradeCall) => Promise<void>;

function refuse(socket: Duplex, error: unknown): void {
  const refusal = asApiError(error);
  const body = JSON.stringify(refusal.toBody());
  socket.end(
    `HTTP/1.1 ${refusal.status} Refused\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/** Serves upgrades beside the other calls. @returns a function that cuts off every upgraded connection */
export function serveUpgrades(
  server: Server,
  routes: Readonly<Record<string, UpgradeHandler>>,
  log: Logger,
): () => void {
  const route = makeRouter(routes);
  const open = new Set<Duplex>();
  const upgrade = async (request: IncomingMessage, socket: Duplex): Promise<void> => {
    const gone = new AbortController();
    socket.once('close', () => gone.abort(new ApiError('cancelled', 'the caller went away')));
    try {
      const url = URL.parse(request.url ?? '/', 'http://worker');
      if (url === null) throw new ApiError('not_found', 'the target of the request is not a path');
      const { handler, id, execId } = route(request.method ?? '', url);
      await handler({ request, socket, url, id, execId, signal: gone.signal });
    } catch (error) {
      if (gone.signal.aborted) return;
      if (!(error instanceof ApiError))
        log.error({ err: error, path: request.url?.split('?')[0] }, 'upgrade failed');
      refuse(socket, error);
    }
  };
  server.on('upgrade', (request, socket, head) => {
    // Errors of the connection are reported by its end.
    socket.on('error', () => socket.destroy());
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    if (head.length > 0) socket.unshift(head);
    void upgrade(request, socket);
  });
  return () => {
    for (const socket of open) socket.destroy();
  };
}
