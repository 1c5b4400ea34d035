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

/** An entry of a list; whoever asked knows the directory that it is in. */
export const listedFileSchema = guestFileEntrySchema.omit({ path: true });
export type ListedFile = z.infer<typeof listedFileSchema>;

/** A list as agents sent it before they sent lines (file-list.ts): one document, of which little is taken. */
export const guestFileListSchema = z.object({
  entries: listOf(listedFileSchema, limits.listedFiles),
  truncated: z.boolean(),
});
