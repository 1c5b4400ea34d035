import { z } from 'zod';
import { limits } from '../limits.ts';
import { listOf } from './list.ts';
import { text } from './text.ts';

export const guestFileEntrySchema = z.object({
  name: text(4096),
  path: text(8192),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  isDir: z.boolean(),
  size: z.number().int().min(0),
  mode: text(8),
  uid: z.number().int().min(0),
  gid: z.number().int().min(0),
  modifiedAt: text(64),
});
export type GuestFileEntry = z.infer<typeof guestFileEntrySchema>;

/** An entry of a list; the caller knows its directory. */
export const listedFileSchema = guestFileEntrySchema.omit({ path: true });
export type ListedFile = z.infer<typeof listedFileSchema>;

/**
 * A list as older guest agents send it (newer ones send lines, see file-list.ts): one document, of which only little is
 * accepted.
 */
export const guestFileListSchema = z.object({
  entries: listOf(listedFileSchema, limits.listedFiles),
  truncated: z.boolean(),
});
