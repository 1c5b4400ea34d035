import { ApiError } from '@opencomputer/protocol';
import type { ApiContext } from './context.ts';

/** Scheme and host under which clients reach us: as configured, else as this client did. */
export function publicBase(c: ApiContext, configured: string | undefined): string {
  if (configured !== undefined) return configured;
  const forwarded = c.req.header('x-forwarded-proto')?.split(',')[0]?.trim();
  const url = URL.parse(c.req.url);
  if (url === null) throw new ApiError('invalid_request', 'the Host header is malformed');
  const scheme = forwarded === 'https' || forwarded === 'http' ? forwarded : url.protocol.slice(0, -1);
  return `${scheme}://${url.host}`;
}
