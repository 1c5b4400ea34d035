import { mkdtempDisposableSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LogOutput } from './log-output.ts';

test('writes lines as they are', () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'opencomputer-log-'));
  const path = join(directory.path, 'log');
  new LogOutput(openSync(path, 'a')).write('{"msg":"hello"}\n');
  expect(readFileSync(path, 'utf8')).toBe('{"msg":"hello"}\n');
});

test('on a full disk it loses lines, and neither waits nor fails', () => {
  const output = new LogOutput(openSync('/dev/full', 'w'));
  for (let line = 0; line < 1000; line++) output.write('no room\n');
});
