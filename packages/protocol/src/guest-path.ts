import { ApiError } from './errors.ts';
import { limits } from './limits.ts';

/** Where relative paths start. */
export const homeDirectory = '/home/sandbox';

/**
 * The absolute path that a client's path means in the sandbox.
 * @throws ApiError `invalid_path` when it is missing, too long, holds NUL or has a `..` segment.
 */
export function resolveGuestPath(path: string | undefined): string {
  if (path === undefined || path === '') throw new ApiError('invalid_path', 'path is required');
  if (path.includes('\0')) throw new ApiError('invalid_path', 'path must not hold NUL');
  if (Buffer.byteLength(path) > limits.pathBytes - homeDirectory.length - 1)
    throw new ApiError('invalid_path', `path is longer than ${limits.pathBytes} bytes`);
  const segments = path.split('/');
  if (segments.includes('..'))
    throw new ApiError('invalid_path', `path must not climb with "..": ${path.slice(0, 200)}`);
  const kept = segments.filter((segment) => segment !== '' && segment !== '.');
  return path.startsWith('/') ? `/${kept.join('/')}` : [homeDirectory, ...kept].join('/');
}
