import { ApiError, resolveGuestPath, signUrlSchema } from '@opencomputer/protocol';
import { signatureLifetime, type SignedAction, signFile, verifySignature } from '../auth/signatures.ts';
import { type ApiContext, callerOf, type Handler, type Services } from './context.ts';
import { receiveFile, sendFile } from './files.ts';
import { readJson, sandboxId } from './input.ts';
import { publicBase } from './public-url.ts';

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function sign(action: SignedAction): Handler {
  return async (c, { sandboxes, signingSecret, publicUrl }) => {
    const { path, expiresIn } = await readJson(c, signUrlSchema);
    resolveGuestPath(path);
    const { id } = await sandboxes.get(callerOf(c).owner, sandboxId(c));
    const expires = nowSeconds() + signatureLifetime(expiresIn);
    const signature = signFile(signingSecret, { sandboxId: id, path, action, expires });
    const query = new URLSearchParams({ path, expires: String(expires), signature });
    const url = `${publicBase(c, publicUrl)}/api/sandboxes/${id}/files/${action}?${query.toString()}`;
    return c.json({ url, expiresAt: new Date(expires * 1000).toISOString() });
  };
}

/** The path that a signed URL allows. @throws ApiError `invalid_request`, `invalid_path`, `signature_invalid`. */
function allowedPath(c: ApiContext, { signingSecret }: Services, action: SignedAction): string {
  const { path, expires, signature } = c.req.query();
  const resolved = resolveGuestPath(path);
  if (expires === undefined || !/^\d{1,12}$/.test(expires))
    throw new ApiError('invalid_request', 'expires: expected Unix seconds');
  if (!signature) throw new ApiError('invalid_request', 'signature is required');
  const file = { sandboxId: sandboxId(c), path: path ?? '', action, expires: Number(expires) };
  verifySignature(signingSecret, file, signature, nowSeconds());
  return resolved;
}

export const signDownload = sign('download');
export const signUpload = sign('upload');

export const signedDownload: Handler = async (c, services) =>
  sendFile(c, services, undefined, allowedPath(c, services, 'download'));

export const signedUpload: Handler = async (c, services) =>
  receiveFile(c, services, undefined, allowedPath(c, services, 'upload'));
