import { ApiError } from '@opencomputer/protocol';
import { commonHeaders } from '../http/headers.ts';
import { sendBrokenOff } from '../http/server.ts';
import { type ApiContext } from './context.ts';

/** Codes of what is there and cannot be read. */
const unreadable = new Set(['is_directory', 'not_regular_file']);

/**
 * The answer to a published client that reads what is there and cannot be read, such as a directory. Their `exists`
 * sends the request of `read` and looks at the status alone, so it must be 200. The TypeScript client leaves the body
 * unread then: it gets one that breaks off, so that its `read` fails. The Python client reads the body in either case,
 * and says that nothing is there when that fails: it gets the error whole.
 *
 * @returns undefined for all other callers and errors
 */
export function answerUnreadable(c: ApiContext, error: unknown): Response | undefined {
  if (c.req.method !== 'GET' || !(error instanceof ApiError) || !unreadable.has(error.code)) return undefined;
  const requestId = c.get('requestId');
  const body = JSON.stringify(error.toBody(requestId));
  const headers = {
    ...commonHeaders(requestId),
    'content-type': 'application/json',
    'x-content-type-options': 'nosniff',
  };
  if (c.req.header('x-osb-async-wake') !== undefined) return sendBrokenOff(c, headers, body);
  if (c.req.header('user-agent')?.startsWith('python-httpx/') === true) return c.body(body, 200, headers);
  return undefined;
}
