import { constants } from 'node:os';
import { InvalidArgumentError, Option } from 'commander';

/** Parser of an option that takes a whole number. */
export function integer(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`Give a whole number ${range}.`);
  };
}

/** Parser of a repeatable option `KEY=VALUE`. */
export function pair(text: string, before: Record<string, string> = {}): Record<string, string> {
  const split = text.indexOf('=');
  if (split < 1) throw new InvalidArgumentError('Give KEY=VALUE.');
  return { ...before, [text.slice(0, split)]: text.slice(split + 1) };
}

/** Parser of a signal: its number, or its name with or without SIG. */
export function signalNumber(text: string): number {
  const name = `SIG${text.toUpperCase().replace(/^SIG/, '')}`;
  const number = /^\d+$/.test(text)
    ? Number(text)
    : Object.entries(constants.signals).find(([each]) => each === name)?.[1];
  if (number === undefined || number < 1 || number > 64)
    throw new InvalidArgumentError('Give a number from 1 to 64 or a name such as TERM.');
  return number;
}

/** Parser of a time: RFC 3339, a date, or how long ago, such as `10m`. */
export function time(text: string): string {
  const span = /^(\d{1,9})([smhd])$/.exec(text);
  const seconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
  const ms =
    span === null
      ? Date.parse(text)
      : Date.now() - Number(span[1]) * seconds[span[2] as keyof typeof seconds] * 1000;
  if (Number.isFinite(ms) && Math.abs(ms) < 8.64e15) return new Date(ms).toISOString();
  throw new InvalidArgumentError('Give a time such as 2026-01-31T12:00:00Z, or how long ago, such as 10m.');
}

export const envOption = (): Option =>
  new Option('-e, --env <KEY=VALUE>', 'environment variable; repeatable').argParser(pair);

export const metadataOption = (text = 'key-value pair of your own; repeatable'): Option =>
  new Option('-m, --metadata <KEY=VALUE>', text).argParser(pair);

export const idleTimeoutOption = (fallback = 'default 300'): Option =>
  new Option('--timeout <SECONDS>', `idle seconds until it hibernates, 0: never; ${fallback}`).argParser(
    integer(0),
  );
