import { ApiError } from '@opencomputer/protocol';
import type { Caller, KeyVerifier } from './keys.ts';
import { looksLikeToken, type SandboxTokens } from './sandbox-tokens.ts';

/** Says who presents a credential: an API key, or the token of a sandbox. */
export class Authenticator {
  readonly #keys: KeyVerifier;
  readonly #tokens: SandboxTokens;

  constructor(keys: KeyVerifier, tokens: SandboxTokens) {
    this.#keys = keys;
    this.#tokens = tokens;
  }

  /** Whether a key may still be used, by its id. */
  async isValid(keyId: string): Promise<boolean> {
    try {
      await this.#keys.verifyId(keyId);
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.code === 'unauthorized') return false;
      throw error;
    }
  }

  /**
   * @param reach What the route is about: one sandbox, which its token opens too, or more.
   * @throws ApiError `unauthorized`, also when the key of a token was revoked; `forbidden` for a token whose sandbox is another.
   */
  async verify(credential: string | undefined, reach: { sandboxId: string } | 'account'): Promise<Caller> {
    if (credential === undefined || !looksLikeToken(credential)) return this.#keys.verify(credential);
    const caller = await this.#tokens.read(credential).catch(async (error: unknown) => {
      // A key of somebody's own choice may look like a token.
      const key = await this.#keys.verify(credential).catch(() => undefined);
      if (key === undefined) throw error;
      return key;
    });
    if (caller.sandboxId === undefined) return caller;
    if (caller.keyId !== undefined) await this.#keys.verifyId(caller.keyId);
    if (reach === 'account')
      throw new ApiError('forbidden', 'the token of a sandbox is not for this route', {
        hint: 'Use an API key.',
      });
    if (reach.sandboxId !== caller.sandboxId)
      throw new ApiError('forbidden', 'the token is for another sandbox', {
        hint: 'Use an API key, or the token of this sandbox.',
      });
    return caller;
  }
}
