import { pino } from 'pino';
import { ApiError } from '@opencomputer/protocol';
import { LogOutput } from '@opencomputer/process/log-output';

/** A structured log: one JSON object per line. */
export type Log = pino.Logger;

/** What is logged of an error. One that we made says all in its message; of others the stack is wanted. */
function describeError(error: unknown): object {
  if (!(error instanceof ApiError)) return pino.stdSerializers.err(error as Error);
  const { code, message, details, cause } = error;
  const about = Object.keys(details).length === 0 ? {} : { details };
  if (cause === undefined) return { code, message, ...about };
  if (code === 'internal' || !(cause instanceof Error))
    return { code, message, ...about, cause: describeError(cause) };
  return { code, message, ...about, cause: cause.message };
}

/** The options of every log of the server. */
const logOptions: pino.LoggerOptions = {
  base: { service: 'server' },
  timestamp: pino.stdTimeFunctions.isoTime,
  serializers: { err: describeError },
};

/** The log of the process, on standard output. */
export function createLog(level: string): Log {
  return pino({ ...logOptions, level }, new LogOutput(1));
}
