import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError, isExecId, isSandboxId, isUuid } from '@opencomputer/protocol';

/** Ids from the path, checked; empty where the route has none. */
type Ids = Pick<Call, 'id' | 'execId' | 'snapshotId'>;

/** One call to the worker's API. */
export interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  url: URL;
  /** Ids from the path, checked. */
  id: string;
  execId: string;
  snapshotId: string;
  /** Aborts when the caller goes away. */
  signal: AbortSignal;
}

export type Handler = (call: Call) => Promise<void> | void;

/** `GET /v1/machines/:id/exec/:execId` -> handler. */
export type Routes = Readonly<Record<string, Handler>>;

interface Route<Handles> {
  method: string;
  segments: string[];
  handler: Handles;
}

/** Finds the handler of a request. @throws ApiError `not_found` for an unknown route or a malformed id */
export function makeRouter<Handles = Handler>(
  routes: Readonly<Record<string, Handles>>,
): (method: string, url: URL) => { handler: Handles } & Ids {
  const table: Route<Handles>[] = Object.entries(routes).map(([key, handler]) => {
    const [method = '', path = ''] = key.split(' ');
    return { method, segments: path.split('/'), handler };
  });
  return (method, url) => {
    const segments = url.pathname.split('/');
    for (const route of table) {
      if (route.method !== method || route.segments.length !== segments.length) continue;
      const ids: Record<string, string> = {};
      const matches = route.segments.every((segment, index) => {
        const actual = segments[index] ?? '';
        if (!segment.startsWith(':')) return segment === actual;
        ids[segment.slice(1)] = actual;
        return true;
      });
      if (matches) return { handler: route.handler, ...checkIds(ids) };
    }
    throw new ApiError('not_found', `the worker has no ${method} ${url.pathname}`);
  };
}

function checkIds(ids: Record<string, string>): Ids {
  const { id = '', execId = '', snapshotId = '' } = ids;
  if (id !== '' && !isSandboxId(id))
    throw new ApiError('sandbox_not_found', 'this is not the id of a machine');
  if (execId !== '' && !isExecId(execId))
    throw new ApiError('exec_not_found', 'this is not the id of a command');
  if (snapshotId !== '' && !isUuid(snapshotId))
    throw new ApiError('checkpoint_not_found', 'this is not the id of a snapshot');
  return { id, execId, snapshotId };
}
