import type { HonoRequest } from 'hono';

/** The key that a request shows: X-API-Key, a Bearer token, or `?api_key=`, in this order. */
export function presentedKey(request: HonoRequest): string | undefined {
  const header = request.header('x-api-key');
  if (header) return header.trim();
  const bearer = /^Bearer +(\S+)$/i.exec(request.header('authorization')?.trim() ?? '')?.[1];
  return bearer ?? request.query('api_key');
}
