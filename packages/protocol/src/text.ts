import { z } from 'zod';
import { limits } from './limits.ts';

const bytes = (text: string): number => Buffer.byteLength(text, 'utf8');

function recordBytes(record: Record<string, string>): number {
  return Object.entries(record).reduce((sum, [key, value]) => sum + bytes(key) + bytes(value), 0);
}

/** Environment variables, as a client sends them. */
export const envSchema = z
  .record(z.string(), z.string())
  .superRefine((env, context) => {
    const names = Object.keys(env);
    if (names.length > limits.envVars)
      context.addIssue({
        code: 'custom',
        message: `at most ${limits.envVars} variables, got ${names.length}`,
      });
    for (const name of names) {
      if (name === '')
        context.addIssue({ code: 'custom', message: 'the name of a variable must not be empty' });
      else if (/[=\0]/.test(name))
        context.addIssue({
          code: 'custom',
          message: `the name ${JSON.stringify(name.slice(0, 64))} must not hold "=" or NUL`,
        });
      else if (name.length > limits.envNameLength)
        context.addIssue({
          code: 'custom',
          message: `a name may have ${limits.envNameLength} characters, got ${name.length}`,
        });
      if (env[name]?.includes('\0'))
        context.addIssue({
          code: 'custom',
          message: `the value of ${JSON.stringify(name.slice(0, 64))} must not hold NUL`,
        });
    }
    const size = recordBytes(env);
    if (size > limits.envBytes)
      context.addIssue({ code: 'custom', message: `at most ${limits.envBytes} bytes in all, got ${size}` });
  })
  .meta({ description: 'Environment variables: names without "=" and NUL.', example: { NODE_ENV: 'test' } });

/** Key-value pairs of the client's own that are stored with a sandbox. */
export const metadataSchema = z
  .record(z.string(), z.string())
  .superRefine((metadata, context) => {
    const keys = Object.keys(metadata);
    if (keys.length > limits.metadataKeys)
      context.addIssue({
        code: 'custom',
        message: `at most ${limits.metadataKeys} keys, got ${keys.length}`,
      });
    for (const key of keys) {
      if (key === '' || key.length > limits.metadataKeyLength)
        context.addIssue({
          code: 'custom',
          message: `a key has 1 to ${limits.metadataKeyLength} characters, got ${key.length}`,
        });
      const length = metadata[key]?.length ?? 0;
      if (length > limits.metadataValueLength)
        context.addIssue({
          code: 'custom',
          message: `a value may have ${limits.metadataValueLength} characters, got ${length}`,
        });
    }
    const size = recordBytes(metadata);
    if (size > limits.metadataBytes)
      context.addIssue({
        code: 'custom',
        message: `at most ${limits.metadataBytes} bytes in all, got ${size}`,
      });
  })
  .meta({ description: 'Your own key-value pairs, stored with the sandbox.', example: { project: 'x' } });

/**
 * Turns the issues of a schema into one sentence that names the fields, e.g. `cpuCount: expected number, received
 * string`. It mentions at most three issues.
 */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`))
    .join('; ');
}
