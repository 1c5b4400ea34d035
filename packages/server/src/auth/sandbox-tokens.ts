import { randomBytes } from 'node:crypto';
import { sign, verify } from 'hono/jwt';
import { z } from 'zod';
import { ApiError, sandboxIdPattern } from '@opencomputer/protocol';
import { settingOrNew } from '../store/settings.ts';
import type { SandboxRow, Store } from '../store/tables.ts';
import type { Caller } from './keys.ts';

const issuer = 'opensandbox';
const lifeSeconds = 24 * 3600;
/** So long a token can be renewed with a token, counted from the one that a key got. */
const renewableSeconds = 7 * 24 * 3600;
const jwtPattern = /^[\w-]{4,512}\.[\w-]{4,1024}\.[\w-]{16,128}$/;

const claimsSchema = z.object({
  sub: z.string().min(1),
  sandbox_id: z.string().regex(sandboxIdPattern),
  exp: z.number(),
  key_id: z.string().optional(),
  /** When a key got the first one of those that were renewed into this one (RFC 7519 has no claim for that). */
  auth_time: z.number().optional(),
});

/** The secret of this installation, made on first use. */
export function tokenSecret(store: Store): Promise<string> {
  return settingOrNew(store, 'token-secret', () => randomBytes(32).toString('hex'));
}

/** True for what may be a token; the keys that are generated here have no dots. */
export function looksLikeToken(credential: string): boolean {
  return jwtPattern.test(credential);
}

/** Makes and reads the credentials that are for one sandbox alone. */
export class SandboxTokens {
  readonly #secret: string;

  constructor(secret: string) {
    this.#secret = secret;
  }

  /**
   * A token that lives for 24 h, or as long as what is got with a token may.
   * @param caller Who gets it
   * @param now Unix seconds
   */
  issue(row: SandboxRow, caller: Caller, now = Math.floor(Date.now() / 1000)): Promise<string> {
    const { keyId, until } = caller;
    const claims = {
      iss: issuer,
      sub: row.owner,
      org_id: row.owner,
      sandbox_id: row.id,
      worker_id: row.worker_id,
      iat: now,
      exp: Math.min(now + lifeSeconds, until ?? Number.POSITIVE_INFINITY),
      ...(keyId === undefined
        ? {}
        : { key_id: keyId, auth_time: until === undefined ? now : until - renewableSeconds }),
    };
    return sign(claims, this.#secret, 'HS256');
  }

  /** Whose it is; whether its key is still valid is for the caller to look up. @throws ApiError `unauthorized` when it was not made here or has expired. */
  async read(token: string): Promise<Caller> {
    let claims: unknown;
    try {
      claims = await verify(token, this.#secret, { alg: 'HS256', iss: issuer });
    } catch (error) {
      const expired = error instanceof Error && error.name === 'JwtTokenExpired';
      throw new ApiError(
        'unauthorized',
        expired ? 'the token of the sandbox has expired' : 'the token is not valid here',
        { hint: 'Read the sandbox with an API key: the answer has a new token.' },
      );
    }
    const parsed = claimsSchema.safeParse(claims);
    if (!parsed.success) throw new ApiError('unauthorized', 'the token is not one of a sandbox');
    const { sub, sandbox_id: sandboxId, exp, key_id: keyId, auth_time: authTime } = parsed.data;
    // One of an earlier release names no key, and cannot be renewed.
    const until = keyId === undefined || authTime === undefined ? exp : authTime + renewableSeconds;
    return { owner: sub, keyId, sandboxId, until };
  }
}
