import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { ApiError } from '@opencomputer/protocol';
import type { Logger } from 'pino';
import { sendError } from './respond.ts';
import { makeRouter, type Routes } from './router.ts';

/** How long the rest of a refused request's body is read. */
const discardMs = 5_000;

/**
 * Reads and drops the rest of a body for a moment: a caller that is still sending would otherwise see a broken
 * connection before the answer.
 */
function discardBody(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  const timer = setTimeout(() => request.destroy(), discardMs);
  request.once('close', () => clearTimeout(timer));
  request.resume();
}

/** The worker's HTTP server. It trusts its caller, the server, but not that bodies are well formed. */
export function makeHttpServer(routes: Routes, log: Logger): Server {
  const route = makeRouter(routes);
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const gone = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) gone.abort(new ApiError('cancelled', 'the caller went away'));
    });
    try {
      const url = URL.parse(request.url ?? '/', 'http://worker');
      if (url === null) throw new ApiError('not_found', 'the target of the request is not a path');
      const { handler, ...ids } = route(request.method ?? '', url);
      await handler({ request, response, url, ...ids, signal: gone.signal });
    } catch (error) {
      if (!(error instanceof ApiError) && !gone.signal.aborted)
        log.error({ err: error, method: request.method, path: request.url?.split('?')[0] }, 'call failed');
      sendError(response, error);
      discardBody(request);
    }
  };
  return createServer({ keepAliveTimeout: 65_000, requestTimeout: 0, noDelay: true }, (request, response) => {
    void answer(request, response);
  });
}
