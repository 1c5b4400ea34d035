import { z } from 'zod';

/** A text of at most `max` characters. */
export const text = (max: number) => z.string().max(max);
