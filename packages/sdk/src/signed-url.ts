import { checkOptions } from './check-options.ts';
import { optionNames } from './option-names.ts';
import type { RequestOptions } from './config.ts';
import type { HttpClient } from './http.ts';
import type { WireSignedUrl } from './wire.ts';

/** Options of `downloadUrl` and `uploadUrl`. */
export interface SignedUrlOptions extends RequestOptions {
  /** Seconds until the URL stops working, at most 86,400. Default 3600. */
  expiresIn?: number | undefined;
}

const routes = { downloadUrl: 'download-url', uploadUrl: 'upload-url' } as const;

/** See `Sandbox.downloadUrl` and `Sandbox.uploadUrl`. */
export async function signUrl(
  http: HttpClient,
  sandbox: string,
  method: keyof typeof routes,
  path: string,
  options: SignedUrlOptions,
): Promise<string> {
  const { expiresIn, ...limits } = checkOptions(method, options, optionNames.signedUrl);
  const signed = await http.json({
    method: 'POST',
    path: `${sandbox}/files/${routes[method]}`,
    json: { path, expiresIn },
    ...limits,
  });
  return (signed as WireSignedUrl).url;
}
