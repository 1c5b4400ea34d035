import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { ApiError } from '@opencomputer/protocol';
import { settingOrNew } from '../store/settings.ts';
import type { Store } from '../store/tables.ts';

export type SignedAction = 'download' | 'upload';

/** What a signed URL allows. */
export interface SignedFile {
  readonly sandboxId: string;
  /** As the client gave it. */
  readonly path: string;
  readonly action: SignedAction;
  /** Unix seconds. */
  readonly expires: number;
}

const defaultSeconds = 3600;
const maxSeconds = 86_400;

/** The secret of this installation, made on first use. */
export function signingSecret(store: Store): Promise<string> {
  return settingOrNew(store, 'signing-secret', () => randomBytes(32).toString('hex'));
}

/** The secret for what one key signs, so that its URLs are good for as long as the key is. */
export function secretOfKey(secret: string, keyId: string): string {
  return createHmac('sha256', secret).update(`key ${keyId}`).digest('hex');
}

/** Seconds that a URL lives: what was asked for, within the bounds. */
export function signatureLifetime(asked: number | undefined): number {
  return asked === undefined || asked <= 0 ? defaultSeconds : Math.min(asked, maxSeconds);
}

/** The signature: HMAC-SHA256 in hex over five lines. */
export function signFile(secret: string, file: SignedFile): string {
  const lines = ['opensandbox-signed-url', file.sandboxId, file.path, file.action, String(file.expires)];
  return createHmac('sha256', secret).update(lines.join('\n')).digest('hex');
}

/** @throws ApiError `signature_invalid` when the signature is wrong or the URL has expired at `now` (Unix seconds). */
export function verifySignature(secret: string, file: SignedFile, signature: string, now: number): void {
  const expected = Buffer.from(signFile(secret, file));
  const given = Buffer.from(signature);
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw new ApiError('signature_invalid', 'invalid signature');
  if (file.expires <= now) throw new ApiError('signature_invalid', 'signed URL expired');
}
