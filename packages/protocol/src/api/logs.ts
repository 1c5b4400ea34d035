import { z } from 'zod';
import { limits } from '../limits.ts';
import { type LogSource, logSources } from '../log-sources.ts';
import type { Endpoint } from './endpoint.ts';
import { amongSessions } from './refusals.ts';

const time = z.iso
  .datetime({ offset: true, error: 'expected a time such as 2026-01-31T12:00:00Z' })
  .optional();

function splitSources(text: string, context: z.RefinementCtx): LogSource[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !logSources.some((source) => source === name));
  if (unknown === undefined) return logSources.filter((source) => names.includes(source));
  context.addIssue({
    code: 'custom',
    message: `${JSON.stringify(unknown.slice(0, 64))} is none of ${logSources.join(', ')}`,
  });
  return z.NEVER;
}

/** Query of `GET /api/sandboxes/:id/logs`. */
export const logsQuerySchema = z.object({
  tail: z
    .enum(['true', 'false', '1', '0'])
    .default('true')
    .transform((text) => text === 'true' || text === '1')
    .meta({ description: 'Go on with new lines as they come.' }),
  since: time.meta({ description: 'Only lines from this time on (RFC 3339).' }),
  until: time.meta({ description: 'Only lines before this time (RFC 3339).' }),
  q: z.string().max(1024).optional().meta({ description: 'Only lines that hold this text.' }),
  source: z
    .string()
    .max(256)
    .transform(splitSources)
    .optional()
    .meta({ description: `Comma-separated sources: ${logSources.join(', ')}. All by default.` }),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(limits.logLinesMax)
    .default(limits.logLinesDefault)
    .meta({ description: 'How many of the existing lines to send: the newest.' }),
});
export type LogsQuery = z.output<typeof logsQuerySchema>;

/** One event of the logs. */
export const logEventSchema = z
  .object({
    _time: z.string(),
    source: z.enum(logSources),
    line: z.string(),
    path: z.string().optional(),
    exec_id: z.string().optional(),
    command: z.string().optional(),
    argv: z.array(z.string()).optional(),
    exit_code: z.number().int().optional(),
  })
  .meta({ id: 'LogEvent' });
export type LogEvent = z.infer<typeof logEventSchema>;

/** Endpoints of logs. */
export const logEndpoints = {
  readLogs: {
    method: 'GET',
    path: '/api/sandboxes/:id/logs',
    tag: 'sandboxes',
    summary: 'Read the logs of the guest and of commands',
    description:
      'Server-sent events: every `data` is a LogEvent as JSON. Comments keep the connection alive. Without `tail` the stream ends after the lines that are there.',
    query: logsQuerySchema,
    success: { 200: 'events' },
    errors: amongSessions,
    auth: 'data',
  },
} as const satisfies Record<string, Endpoint>;
