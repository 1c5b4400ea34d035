import { pino } from 'pino';

/** A structured log: one JSON object per line. */
export type Log = pino.Logger;

/** The log of the process, on standard output. */
export function createLog(level: string): Log {
  return pino({ level, base: { service: 'server' }, timestamp: pino.stdTimeFunctions.isoTime });
}
