import { z } from 'zod';
import { limits } from './limits.ts';
import { strictObject } from './strict.ts';

/** Size of a terminal, in characters. */
export const terminalSizeSchema = strictObject({
  cols: z.number().int().min(1).max(limits.terminalMax),
  rows: z.number().int().min(1).max(limits.terminalMax),
});
export type TerminalSize = z.infer<typeof terminalSizeSchema>;
