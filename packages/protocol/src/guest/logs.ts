import { z } from 'zod';
import { execIdPattern } from '../ids.ts';
import { logSources } from '../log-sources.ts';
import { text } from './text.ts';

/** Most bytes of one line of the guest agent's log, as JSON. */
export const guestLogLineBytes = 256 * 1024;
export const guestLogLineSchema = z.object({
  time: text(64),
  source: z.enum(logSources),
  line: text(64 * 1024),
  path: text(4096).optional(),
  execId: z.string().regex(execIdPattern).optional(),
  command: text(4096).optional(),
  argv: z
    .array(text(64 * 1024))
    .max(1100)
    .optional(),
  exitCode: z.number().int().optional(),
});
export type GuestLogLine = z.infer<typeof guestLogLineSchema>;
