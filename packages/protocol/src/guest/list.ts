import { z } from 'zod';

/** A list of at most `max` entries. Checking ends at the first invalid entry: in a hostile list all may be invalid. */
export function listOf<Schema extends z.ZodType>(schema: Schema, max: number) {
  return z
    .array(z.unknown())
    .max(max)
    .transform((values, context): z.output<Schema>[] => {
      const list: z.output<Schema>[] = [];
      for (const value of values) {
        const one = schema.safeParse(value);
        if (!one.success) {
          const path = [list.length, ...(one.error.issues[0]?.path ?? [])];
          context.addIssue({ code: 'custom', path, message: one.error.issues[0]?.message });
          return z.NEVER;
        }
        list.push(one.data);
      }
      return list;
    });
}
