import { randomBytes } from 'node:crypto';
import { sign, verify } from 'hono/jwt';
import { z } from 'zod';
import { ApiError, sandboxIdPattern } from '@opencomputer/protocol';
import { settingOrNew } from '../store/settings.ts';
import type { SandboxRow, Store } from '../store/tables.ts';
import type { Caller } from './keys.ts';

const issuer = 'opensandbox';
const lifeSeconds = 24 * 3600;
const jwtPattern = /^[\w-]{4,512}\.[\w-]{4,1024}\.[\w-]{16,128}$/;

const claimsSchema = z.object({
  sub: z.string().min(1),
  sandbox_id: z.string().regex(sandboxIdPattern),
  exp: z.number(),
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

  /** A token that lives for 24 h. @param now Unix seconds */
  issue(row: SandboxRow, now = Math.floor(Date.now() / 1000)): Promise<string> {
    const claims = {
      iss: issuer,
      sub: row.owner,
      org_id: row.owner,
      sandbox_id: row.id,
      worker_id: row.worker_id,
      iat: now,
      exp: now + lifeSeconds,
    };
    return sign(claims, this.#secret, 'HS256');
  }

  /** @throws ApiError `unauthorized` when it was not made here or has expired. */
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
    const { sub, sandbox_id: sandboxId } = parsed.data;
    return { owner: sub, keyId: 'token', sandboxId };
  }
}
