import { ApiError, resolveGuestPath, signUrlSchema } from '@opencomputer/protocol';
import {
  secretOfKey,
  signatureLifetime,
  type SignedAction,
  signFile,
  verifySignature,
} from '../auth/signatures.ts';
import { type ApiContext, callerOf, type Handler, type Services } from './context.ts';
import { receiveFile, sendFile } from './files.ts';
import { readJson, sandboxId } from './input.ts';
import { publicBase } from './public-url.ts';

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function sign(action: SignedAction): Handler<'publicUrl' | 'sandboxes' | 'signingSecret'> {
  return async (c, { sandboxes, signingSecret, publicUrl }) => {
    const { path, expiresIn } = await readJson(c, signUrlSchema);
    resolveGuestPath(path);
    const { owner, keyId, until = Number.POSITIVE_INFINITY } = callerOf(c);
    const { id } = await sandboxes.get(owner, sandboxId(c));
    const expires = Math.min(nowSeconds() + signatureLifetime(expiresIn), until);
    const secret = keyId === undefined ? signingSecret : secretOfKey(signingSecret, keyId);
    const signature = signFile(secret, { sandboxId: id, path, action, expires });
    const query = new URLSearchParams({ path, expires: String(expires), signature });
    if (keyId !== undefined) query.set('key', keyId);
    const url = `${publicBase(c, publicUrl)}/api/sandboxes/${id}/files/${action}?${query.toString()}`;
    return c.json({ url, expiresAt: new Date(expires * 1000).toISOString() });
  };
}

/**
 * The path that a signed URL allows. One without a key is of an earlier release, and lives for a day at most.
 * @throws ApiError `invalid_request`, `invalid_path`, `signature_invalid`, also when its key was revoked.
 */
async function allowedPath(
  c: ApiContext,
  { signingSecret, authenticator }: Pick<Services, 'authenticator' | 'signingSecret'>,
  action: SignedAction,
): Promise<string> {
  const { path, expires, signature, key } = c.req.query();
  const resolved = resolveGuestPath(path);
  if (expires === undefined || !/^\d{1,12}$/.test(expires))
    throw new ApiError('invalid_request', 'expires: expected Unix seconds');
  if (!signature) throw new ApiError('invalid_request', 'signature is required');
  const file = { sandboxId: sandboxId(c), path: path ?? '', action, expires: Number(expires) };
  const secret = key === undefined ? signingSecret : secretOfKey(signingSecret, key);
  verifySignature(secret, file, signature, nowSeconds());
  if (key !== undefined && !(await authenticator.isValid(key)))
    throw new ApiError('signature_invalid', 'the API key that signed this URL was revoked');
  return resolved;
}

export const signDownload = sign('download');
export const signUpload = sign('upload');

export const signedDownload: Handler<'authenticator' | 'machines' | 'sandboxes' | 'signingSecret'> = async (
  c,
  services,
) => sendFile(c, services, undefined, await allowedPath(c, services, 'download'));

export const signedUpload: Handler<'authenticator' | 'machines' | 'sandboxes' | 'signingSecret'> = async (
  c,
  services,
) => receiveFile(c, services, undefined, await allowedPath(c, services, 'upload'));
