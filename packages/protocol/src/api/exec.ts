import { z } from 'zod';
import { limits } from '../limits.ts';
import { strictObject } from '../strict.ts';
import { envSchema } from '../text.ts';
import type { Endpoint } from './endpoint.ts';
import { inGuest } from './refusals.ts';

const noNul = (text: string): boolean => !text.includes('\0');

/** One argument of a command, or its executable. */
const argument = z
  .string()
  .refine(noNul, 'must not hold NUL')
  .refine(
    (text) => Buffer.byteLength(text) <= limits.execArgBytes,
    `must not exceed ${limits.execArgBytes} bytes, which is what Linux takes in one argument: write it to a file`,
  );

/** What Linux needs for each argument besides its text: the NUL at its end and a pointer. */
const perArgument = 9;

export const commandTooLarge = `cmd and args together must not exceed ${limits.execArgsBytes} bytes, counting ${perArgument} more for each, as Linux does`;

/** Which program runs, and how. */
export const commandFields = {
  cmd: z
    .string({ error: (issue) => (issue.input === undefined ? 'cmd is required' : undefined) })
    .min(1, 'cmd is required')
    .pipe(argument)
    .meta({ description: 'Executable; no shell is implied.', example: 'sh' }),
  args: z
    .array(argument)
    .max(Math.floor(limits.execArgsBytes / perArgument), commandTooLarge)
    .nullish()
    .meta({ example: ['-c', 'echo hello'] }),
  envs: envSchema.nullish(),
  cwd: z
    .string()
    .max(limits.pathBytes)
    .refine(noNul, 'must not hold NUL')
    .nullish()
    .meta({ description: 'Working directory; default /home/sandbox.', example: '/tmp' }),
};

/** Where a command shows up; absent, null and true mean the default. */
export const visibilityFields = {
  log: z.boolean().nullish().meta({ description: 'False: it is kept out of the logs of the sandbox.' }),
  listed: z.boolean().nullish().meta({
    description:
      "False: it is left out of the list of sessions, for a tool's internal commands. Its id works all the same.",
  }),
};

/** True when program and arguments are not too large together. */
export function commandFits(request: { cmd: string; args?: readonly string[] | null | undefined }): boolean {
  const words = [request.cmd, ...(request.args ?? [])];
  return words.reduce((sum, word) => sum + Buffer.byteLength(word) + perArgument, 0) <= limits.execArgsBytes;
}

/** Body of `POST /api/sandboxes/:id/exec/run` and `/exec/run-async`. */
export const execRequestSchema = strictObject({
  ...commandFields,
  ...visibilityFields,
  timeout: z
    .number()
    .int()
    .min(0)
    .max(limits.execTimeoutSecondsMax)
    .nullish()
    .meta({
      description: `Seconds until the command is killed; 0 or absent: ${limits.execTimeoutSecondsDefault}.`,
    }),
})
  .refine(commandFits, commandTooLarge)
  .meta({ id: 'ExecRequest' });

export type ExecRequest = z.output<typeof execRequestSchema>;

/** A finished command. */
export const execResultSchema = z
  .object({
    exitCode: z.number().int().meta({
      description: 'Exit code; 128 + n when signal n killed it; -1 when it timed out.',
    }),
    stdout: z.string(),
    stderr: z.string(),
    truncated: z
      .boolean()
      .optional()
      .meta({
        description: `True when more than ${limits.execOutputBytes} bytes were printed: the oldest output is gone.`,
      }),
  })
  .meta({ id: 'ExecResult' });

/** Answer of run-async while the command runs. */
export const execStartedSchema = z
  .object({ execId: z.string(), running: z.literal(true), startedAt: z.string() })
  .meta({ id: 'ExecStarted' });

/** Answer of `GET /api/sandboxes/:id/exec/:execId/result`. */
export const execPollSchema = z
  .object({
    running: z.boolean(),
    exitCode: z.number().int().optional(),
    stdout: z.string(),
    stderr: z.string(),
    truncated: z.boolean().optional(),
    error: z.string().optional(),
    commandMs: z.number().optional(),
  })
  .meta({ id: 'ExecPoll' });

export type ExecResult = z.infer<typeof execResultSchema>;
export type ExecStarted = z.infer<typeof execStartedSchema>;
export type ExecPoll = z.infer<typeof execPollSchema>;

/** Endpoints of commands whose result is fetched. */
export const commandEndpoints = {
  runCommand: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec/run',
    tag: 'exec',
    summary: 'Run a command and wait for its end',
    description:
      'While the command runs, white space is sent every 10 s so that no proxy or client gives up; the JSON follows. A failure after that is a 200 whose body is an error.',
    body: execRequestSchema,
    success: { 200: execResultSchema },
    errors: [...inGuest, 'command_not_started', 'too_many_commands'],
    auth: 'data',
  },
  runCommandAsync: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec/run-async',
    tag: 'exec',
    summary: 'Start a command',
    description: 'Answers the result (200) when it ends within 400 ms, else an id to poll with (202).',
    body: execRequestSchema,
    success: { 200: execResultSchema, 202: execStartedSchema },
    errors: [...inGuest, 'command_not_started', 'too_many_commands'],
    auth: 'data',
  },
  getCommandResult: {
    method: 'GET',
    path: '/api/sandboxes/:id/exec/:execId/result',
    tag: 'exec',
    summary: 'Poll a started command',
    description: 'Holds the answer for up to 500 ms while the command runs.',
    success: { 200: execPollSchema },
    errors: [...inGuest, 'exec_not_found', 'result_not_kept'],
    auth: 'data',
  },
} as const satisfies Record<string, Endpoint>;
