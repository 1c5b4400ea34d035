/** Headers of every answer. */
export function commonHeaders(requestId: string): Record<string, string> {
  return {
    'x-request-id': requestId,
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'X-Request-Id, X-Next-Cursor, X-Truncated',
  };
}
