import { pino } from 'pino';

/** A log that drops everything. */
export const quiet = pino({ level: 'silent' });
