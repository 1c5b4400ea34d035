import { z } from 'zod';
import { strictObject } from '../strict.ts';

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
