import { z } from 'zod';
import { strictObject } from '../strict.ts';
import type { Endpoint } from './endpoint.ts';
import { inGuest } from './refusals.ts';

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

/** Query of every endpoint of files. */
export const pathQuerySchema = z.object({
  path: z.string().meta({
    description: 'Path in the sandbox; a relative one starts at /home/sandbox.',
    example: '/app/hello.txt',
  }),
});

/** Body of the endpoints that sign a URL. */
export const signUrlSchema = strictObject({
  path: z.string(),
  expiresIn: z.number().int().optional().meta({ description: 'Seconds, at most 86400; default 3600.' }),
}).meta({ id: 'SignUrl' });

export const signedUrlSchema = z.object({ url: z.string(), expiresAt: z.string() }).meta({ id: 'SignedUrl' });

const onFile = [...inGuest, 'invalid_path', 'forbidden'] as const;
const signedQuery = pathQuerySchema.extend({
  expires: z.string(),
  key: z.string().optional().meta({ description: 'Id of the key that signed it.' }),
  signature: z.string(),
});

/** Endpoints of files. */
export const fileEndpoints = {
  readFile: {
    method: 'GET',
    path: '/api/sandboxes/:id/files',
    tag: 'files',
    summary: 'Read a file',
    description:
      'To requests with the header X-OSB-Async-Wake, or with a User-Agent that starts with "python-httpx/", `is_directory` and `not_regular_file` are a 200 of type application/json, whose body breaks off for the former: published clients ask so whether something exists. A file is always application/octet-stream.',
    query: pathQuerySchema,
    success: { 200: 'bytes' },
    errors: [...onFile, 'file_not_found', 'is_directory', 'not_regular_file'],
    auth: 'data',
  },
  writeFile: {
    method: 'PUT',
    path: '/api/sandboxes/:id/files',
    tag: 'files',
    summary: 'Write a file',
    description:
      'Creates parent directories. The old content stays until the whole body has arrived; a body that is cut off changes nothing.',
    query: pathQuerySchema,
    body: 'bytes',
    success: { 204: 'none' },
    errors: [...onFile, 'is_directory', 'not_directory', 'too_large'],
    auth: 'data',
  },
  deleteFile: {
    method: 'DELETE',
    path: '/api/sandboxes/:id/files',
    tag: 'files',
    summary: 'Remove a file or a directory with all in it',
    description: 'A missing path is a success.',
    query: pathQuerySchema,
    success: { 204: 'none' },
    errors: onFile,
    auth: 'data',
  },
  listFiles: {
    method: 'GET',
    path: '/api/sandboxes/:id/files/list',
    tag: 'files',
    summary: 'List a directory',
    description: 'The header X-Truncated is `true` when there are more entries than were listed.',
    query: pathQuerySchema.partial(),
    success: { 200: z.array(fileEntrySchema) },
    errors: [...onFile, 'file_not_found', 'not_directory'],
    auth: 'data',
  },
  makeDirectory: {
    method: 'POST',
    path: '/api/sandboxes/:id/files/mkdir',
    tag: 'files',
    summary: 'Make a directory and its parents',
    query: pathQuerySchema,
    success: { 204: 'none' },
    errors: [...onFile, 'not_directory'],
    auth: 'data',
  },
  signDownload: {
    method: 'POST',
    path: '/api/sandboxes/:id/files/download-url',
    tag: 'files',
    summary: 'Make a URL that reads one file without a key',
    body: signUrlSchema,
    success: { 200: signedUrlSchema },
    errors: ['sandbox_not_found', 'invalid_path'],
    auth: 'data',
  },
  signUpload: {
    method: 'POST',
    path: '/api/sandboxes/:id/files/upload-url',
    tag: 'files',
    summary: 'Make a URL that writes one file without a key',
    body: signUrlSchema,
    success: { 200: signedUrlSchema },
    errors: ['sandbox_not_found', 'invalid_path'],
    auth: 'data',
  },
  signedDownload: {
    method: 'GET',
    path: '/api/sandboxes/:id/files/download',
    tag: 'files',
    summary: 'Read a file through a signed URL',
    query: signedQuery,
    success: { 200: 'bytes' },
    errors: [...onFile, 'signature_invalid', 'file_not_found', 'is_directory', 'not_regular_file'],
    auth: 'signature',
  },
  signedUpload: {
    method: 'PUT',
    path: '/api/sandboxes/:id/files/upload',
    tag: 'files',
    summary: 'Write a file through a signed URL',
    query: signedQuery,
    body: 'bytes',
    success: { 204: 'none' },
    errors: [...onFile, 'signature_invalid', 'is_directory', 'not_directory', 'too_large'],
    auth: 'signature',
  },
} as const satisfies Record<string, Endpoint>;
