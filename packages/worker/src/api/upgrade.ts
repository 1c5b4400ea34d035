import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiError } from '@opencomputer/protocol';
import type { Logger } from 'pino';
import { asApiError } from './respond.ts';
import { makeRouter } from './router.ts';

/** A connection that leaves HTTP once the handler has answered it. */
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
  const told = asApiError(error);
  const body = JSON.stringify(told.toBody());
  socket.end(
    `HTTP/1.1 ${told.status} Refused\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/** Serves upgrades beside the other calls. @returns breaks off every connection that left HTTP */
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
    // Whoever breaks a connection off is told by its end.
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
