import { z } from 'zod';
import { commandFields, commandFits, commandTooLarge, visibilityFields } from './exec.ts';
import { attachClientPattern } from '../ids.ts';
import { limits } from '../limits.ts';
import { strictObject } from '../strict.ts';
import { envSchema } from '../text.ts';

/** Body of `POST /api/sandboxes/:id/exec`. */
export const createSessionSchema = strictObject({
  ...commandFields,
  ...visibilityFields,
  timeout: z
    .number()
    .int()
    .min(0)
    .max(limits.timeoutSecondsMax)
    .nullish()
    .meta({ description: 'Seconds until the command is killed; 0 or absent: never.' }),
  maxRunAfterDisconnect: z.number().int().min(0).max(limits.runAfterDisconnectSecondsMax).nullish().meta({
    description: 'Seconds that it runs on after the last client has left; 0 or absent: for ever.',
  }),
  keepAwake: z.boolean().nullish().meta({
    description:
      'false: a service in the background, which does not keep the sandbox from hibernating. By default a command is use until it ends.',
  }),
})
  .refine(commandFits, commandTooLarge)
  .meta({ id: 'CreateSession' });
export type CreateSession = z.output<typeof createSessionSchema>;

/** A command that clients attach to. */
export const sessionSchema = z
  .object({
    sessionID: z.string().meta({ example: '3f9a01bc' }),
    sandboxID: z.string(),
    command: z.string(),
    args: z.array(z.string()),
    running: z.boolean(),
    exitCode: z.number().int().optional().meta({ description: 'Once it has ended.' }),
    startedAt: z.string(),
    attachedClients: z.number().int(),
  })
  .meta({ id: 'Session' });
export type Session = z.infer<typeof sessionSchema>;

const size = (fallback: number) => z.number().int().min(1).max(limits.terminalMax).default(fallback);

/** Body of `POST /api/sandboxes/:id/pty`. */
export const createTerminalSchema = strictObject({
  cols: size(limits.terminalColsDefault),
  rows: size(limits.terminalRowsDefault),
  shell: z
    .string()
    .min(1)
    .max(limits.pathBytes)
    .refine((text) => !text.includes('\0'), 'must not hold NUL')
    .optional()
    .meta({ description: 'The program that runs in it; default /bin/bash, else /bin/sh.' }),
  cwd: commandFields.cwd,
  envs: envSchema.nullish(),
}).meta({ id: 'CreateTerminal' });
export type CreateTerminal = z.output<typeof createTerminalSchema>;

/** Answer of `POST /api/sandboxes/:id/pty`. */
export const terminalSchema = z
  .object({ sessionID: z.string(), sandboxID: z.string() })
  .meta({ id: 'Terminal' });
export type Terminal = z.infer<typeof terminalSchema>;

/** Body of a kill. */
export const killSchema = strictObject({
  signal: z.number().int().min(1).max(64).nullish().meta({
    description: 'Number of the signal, sent to the process group; default 9, which ends children too.',
  }),
}).meta({ id: 'Kill' });

/** Query of the upgrade to a WebSocket. */
export const attachQuerySchema = z.object({
  from: z
    .string()
    .regex(/^(end|\d{1,15})$/, 'expected an offset in bytes, or "end"')
    .optional()
    .meta({
      description:
        'Replay from this offset in all that was ever printed. Given, the frames 0x05 to 0x07 are sent too.',
    }),
  client: z
    .string()
    .regex(attachClientPattern, 'expected up to 64 letters, digits, - and _')
    .optional()
    .meta({ description: 'Names the writer, so that input sent again after a reconnect is taken once.' }),
  replay: z.enum(['0', '1']).optional().meta({ description: 'Of a terminal: all that is kept, or nothing.' }),
});
export type AttachQuery = z.output<typeof attachQuerySchema>;

/** Answer of `POST /api/sandboxes/:id/token/refresh`. */
export const sandboxTokenSchema = z.object({ token: z.string() }).meta({ id: 'SandboxToken' });
