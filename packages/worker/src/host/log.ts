import { type Logger, pino } from 'pino';
import { LogOutput } from '@opencomputer/process/log-output';

declare module 'pino' {
  interface LogFnFields {
    /** An error is logged as `err`: under any other name its message and stack are lost. */
    error?: never;
  }
}

/** Opens the log of the worker: a JSON object per line, to standard output. */
export function openLog(level: string): Logger {
  return pino({ name: 'worker', level }, new LogOutput(1));
}
