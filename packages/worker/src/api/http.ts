import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { ApiError } from '@opencomputer/protocol';
import type { Logger } from 'pino';
import { sendError } from './respond.ts';
import { makeRouter, type Routes } from './router.ts';

/** The worker's HTTP server. It trusts its caller, the server, but not that bodies are well formed. */
export function makeHttpServer(routes: Routes, log: Logger): Server {
  const route = makeRouter(routes);
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const gone = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) gone.abort(new ApiError('guest_failed', 'the caller went away'));
    });
    const url = new URL(request.url ?? '/', 'http://worker');
    try {
      const { handler, ...ids } = route(request.method ?? '', url);
      await handler({ request, response, url, ...ids, signal: gone.signal });
    } catch (error) {
      if (!(error instanceof ApiError) && !gone.signal.aborted)
        log.error({ err: error, method: request.method, path: url.pathname }, 'call failed');
      // Whoever still sends a body nobody reads would wait for ever.
      if (!request.complete) response.setHeader('connection', 'close');
      sendError(response, error);
    }
  };
  return createServer({ keepAliveTimeout: 65_000, requestTimeout: 0, noDelay: true }, (request, response) => {
    void answer(request, response);
  });
}
