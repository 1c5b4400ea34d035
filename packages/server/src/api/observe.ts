import { randomUUID } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { ApiError } from '@opencomputer/protocol';
import { commonHeaders } from '../http/headers.ts';
import { onAnswered } from '../http/server.ts';
import { type ApiEnv, type Services } from './context.ts';

/** Ids of requests that clients may choose. */
const sanePattern = /^[\w.:-]{1,128}$/;

/** Gives every request an id and the common headers, answers preflights, and writes the log and the metrics. */
export function observe({
  log,
  metrics,
  stopping,
}: Pick<Services, 'log' | 'metrics' | 'stopping'>): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const started = performance.now();
    const given = c.req.header('x-request-id');
    const requestId = given !== undefined && sanePattern.test(given) ? given : randomUUID();
    c.set('requestId', requestId);
    c.set('route', 'none');
    for (const [name, value] of Object.entries(commonHeaders(requestId))) c.header(name, value);
    const note = (status: number, complete: boolean): void => {
      const ms = performance.now() - started;
      const route = c.get('route');
      const { method } = c.req;
      metrics.requests.observe({ method: knownMethod(method), route, status: String(status) }, ms / 1000);
      // The path, never the query: that may hold a key or a signature.
      const path = route === 'none' ? c.req.path.slice(0, 200) : undefined;
      const owner = c.get('caller')?.owner;
      const level = route === '/healthz' || route === '/health' || route === '/readyz' ? 'debug' : 'info';
      const about = { method, route, path, id: c.req.param('id'), status, ms: Math.round(ms * 10) / 10 };
      log[level]({ ...about, requestId, owner, ...(complete ? {} : { brokenOff: true }) }, 'request');
    };
    const watched = onAnswered(c, note);
    if (stopping()) {
      c.header('connection', 'close');
      throw new ApiError('shutting_down', 'the server is stopping');
    }
    if (c.req.method === 'OPTIONS') {
      c.header('access-control-allow-methods', 'GET, HEAD, POST, PUT, DELETE, OPTIONS');
      c.header(
        'access-control-allow-headers',
        c.req.header('access-control-request-headers') ?? 'X-API-Key, Authorization, Content-Type',
      );
      c.header('access-control-max-age', '86400');
      c.res = c.body(null, 204);
    } else await next();
    if (!watched) note(c.res.status, true);
  };
}

function knownMethod(method: string): string {
  return ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'].includes(method) ? method : 'other';
}
