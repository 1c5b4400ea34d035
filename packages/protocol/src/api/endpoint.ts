import type { z } from 'zod';
import type { ErrorCode } from '../errors.ts';

/** What a success carries: a JSON schema, raw bytes, text, server-sent events, or nothing. */
export type Payload = z.ZodType | 'bytes' | 'text' | 'events' | 'none';

/**
 * One endpoint of the public API. The server finds its handler in this table, and the OpenAPI document is generated
 * from it.
 */
export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path with `:name` parameters. */
  readonly path: string;
  readonly tag: 'sandboxes' | 'checkpoints' | 'exec' | 'pty' | 'agent' | 'files' | 'system';
  readonly summary: string;
  readonly description?: string;
  readonly query?: z.ZodObject;
  /** Matches the names of further query parameters, such as `metadata[key]`. */
  readonly queryNames?: RegExp;
  readonly body?: z.ZodType | 'bytes';
  /** The body for each status. */
  readonly success: Readonly<Record<number, Payload>>;
  /** Codes beyond `invalid_request`, `unauthorized` and `internal`, which every authenticated route may answer. */
  readonly errors: readonly ErrorCode[];
  /** `key`: an API key; `data`: that, or the token of the sandbox; `signature`: a signed URL; `none`: open. */
  readonly auth: 'key' | 'data' | 'signature' | 'none';
}
