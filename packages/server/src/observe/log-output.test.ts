import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../testing/harness.ts';
import { LogOutput } from './log-output.ts';

test('writes lines as they are', () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, 'log');
  pino({ base: null, timestamp: false }, new LogOutput(openSync(path, 'a'))).info('hello');
  expect(readFileSync(path, 'utf8')).toBe('{"level":30,"msg":"hello"}\n');
});

test('on a full disk it loses lines, and neither waits nor fails', () => {
  const log = pino(new LogOutput(openSync('/dev/full', 'w')));
  for (let line = 0; line < 1000; line++) log.error('no room');
});
