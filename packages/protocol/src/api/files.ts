import { z } from 'zod';
import { ApiError } from '../errors.ts';
import { limits } from '../limits.ts';
import { strictObject } from '../strict.ts';

/** Where relative paths start. */
export const homeDirectory = '/home/sandbox';

/** An entry of a directory, as `GET files/list` returns it. */
export const fileEntrySchema = z
  .object({
    name: z.string(),
    path: z.string(),
    isDir: z.boolean(),
    size: z.number().int().optional().meta({ description: 'Bytes; absent when 0.' }),
    type: z.enum(['file', 'directory', 'symlink', 'other']),
    mode: z.string().meta({ example: '0644' }),
    modifiedAt: z.string(),
  })
  .meta({ id: 'FileEntry' });

export type FileEntry = z.infer<typeof fileEntrySchema>;

/** Query of every route of files. */
export const pathQuerySchema = z.object({
  path: z.string().meta({
    description: 'Path in the sandbox; a relative one starts at /home/sandbox.',
    example: '/app/hello.txt',
  }),
});

/** Body of the routes that sign a URL. */
export const signUrlSchema = strictObject({
  path: z.string(),
  expiresIn: z.number().int().optional().meta({ description: 'Seconds, at most 86400; default 3600.' }),
}).meta({ id: 'SignUrl' });

export const signedUrlSchema = z.object({ url: z.string(), expiresAt: z.string() }).meta({ id: 'SignedUrl' });

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
