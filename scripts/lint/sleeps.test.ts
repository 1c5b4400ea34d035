import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../test-runners/process.ts';

/** What is code of tests, beside what they start. */
const ofTests = [
  '{bench,packages,scripts,tests}/**/*.test.ts',
  'packages/**/testing/**/*.ts',
  'tests/**/*.ts',
  'sdk-python/tests/**/*.py',
  '{agent,jailer}/**/*_test.go',
  'agent/internal/agenttest/*.go',
];
/** A pause, which is a guess of how long something takes. */
const sleeps = [
  /\bdelay\(/,
  /new Promise.*\bsetTimeout\(/,
  // A callback is late as well; a method of this name, called or declared, is another thing.
  /(?<![.\w'])setTimeout\((?!\w+: )/,
  /\b(asyncio|time)\.sleep\((?!0\))/,
  /\btime\.(Sleep|Tick)\(/,
];
/** In the same line or the one before it: why a condition cannot be waited for. */
const reason = /(\/\/|#) Real time: \w/;

/** Lines in which a source pauses without a reason, counted from 1. */
function sleepsOf(source: string): number[] {
  const lines = source.split('\n');
  return lines.flatMap((line, at) => {
    const said = reason.test(line) || reason.test(lines[at - 1] ?? '');
    const comment = /^\s*(\/\/|#|\*|\/\*)/.test(line);
    return sleeps.some((sleep) => sleep.test(line)) && !said && !comment ? [at + 1] : [];
  });
}

describe('a pause in a test', () => {
  test('is found in every language', () => {
    const source = [
      'await delay(30);',
      'await new Promise((resolve) => setTimeout(resolve, 5));',
      "setTimeout(() => controller.abort(new Error('enough')), 20);",
      'await asyncio.sleep(0.3)',
      'time.sleep(1)',
      '\t\ttime.Sleep(time.Millisecond)',
    ];
    expect(sleepsOf(source.join('\n'))).toEqual(source.map((_line, at) => at + 1));
  });

  test('is allowed with its reason, and what only looks like one is none', () => {
    const source = [
      '// Real time: the pace of the guest.',
      'await delay(30);',
      'time.sleep(1) # Real time: what makes it slow.',
      'socket.setTimeout(timeoutMs, () => socket.destroy());',
      "vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });",
      'setTimeout: () => post({ timeout: 600 }),',
      'setTimeout(seconds: number): Promise<void>;',
      'await asyncio.sleep(0)',
    ];
    expect(sleepsOf(source.join('\n'))).toEqual([]);
  });

  test('stands for no condition', () => {
    const files = globSync(ofTests, { cwd: root }).filter(
      (file) => !/node_modules|\/\.venv\/|^scripts\/lint\//.test(file),
    );
    expect(files.length).toBeGreaterThan(300);
    const found = files.flatMap((file) =>
      sleepsOf(readFileSync(join(root, file), 'utf8')).map((line) => `${file}:${line}`),
    );
    expect(found, 'wait for a condition, or say why not: // Real time: ...').toEqual([]);
  });
});
