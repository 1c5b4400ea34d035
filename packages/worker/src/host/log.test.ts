import { pino } from 'pino';
import { expect, test } from 'vitest';

test('an error is logged with its message as `err`, and no other name compiles', () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line) => void lines.push(line) });
  const error: unknown = new Error('the reason');
  log.error({ err: error }, 'it failed');
  // @ts-expect-error Only `err` is made readable.
  log.error({ error, index: 1 }, 'it failed');
  const [named, other] = lines.map(
    (line) => JSON.parse(line) as { err?: { message: string }; error?: object },
  );
  expect(named?.err?.message).toBe('the reason');
  expect(other?.error).toEqual({});
});
