import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GoEvents } from './go.ts';
import { describeOutcome, describeSlowest, type Outcome } from './outcome.ts';
import { root, runCheck } from './process.ts';
import { readVitestReport, type VitestReport } from './vitest.ts';

const file = join(root, 'tests/a.test.ts');
const times = { startTime: 1000, endTime: 3500 };
const vitestReport = (testResults: VitestReport['testResults']): VitestReport => ({
  numPassedTests: 2,
  numPendingTests: 1,
  numTodoTests: 0,
  testResults,
});

describe('a report of vitest', () => {
  it('names failed tests with their file', () => {
    const test = (fullName: string, status: string, failureMessages: string[] = []) => ({
      fullName,
      status,
      failureMessages,
    });
    const tests = [
      test('a a', 'passed'),
      test('a b', 'passed'),
      test('a c', 'failed', ['Error: why\n    at a (/x/node_modules/y.js:1:1)\n    at b (/x/a.test.ts:1:1)']),
    ];
    const report = vitestReport([
      { name: file, status: 'failed', message: '', ...times, assertionResults: tests },
    ]);
    expect(readVitestReport(report, 1)).toEqual({
      passed: 2,
      skipped: 1,
      failures: [{ name: 'tests/a.test.ts > a c', message: 'Error: why\n    at b (/x/a.test.ts:1:1)' }],
      durations: [{ file: 'tests/a.test.ts', ms: 2500 }],
    });
  });

  it('names a file that could not be loaded', () => {
    const report = vitestReport([
      { name: file, status: 'failed', message: 'SyntaxError', ...times, assertionResults: [] },
    ]);
    expect(readVitestReport(report, 1).failures).toEqual([
      { name: 'tests/a.test.ts', message: 'SyntaxError' },
    ]);
  });

  it('does not take a run that broke off for a good one', () => {
    expect(readVitestReport(vitestReport([]), 1).failures).toHaveLength(1);
    expect(readVitestReport(vitestReport([]), 0).failures).toHaveLength(0);
  });
});

describe('events of go test', () => {
  it('are counted by test, and those of packages are kept apart', () => {
    const events = new GoEvents();
    for (const Package of ['m/a', 'm/b']) {
      events.add({ Action: 'output', Package, Test: 'TestX', Output: `in ${Package}\n` });
      events.add({ Action: Package === 'm/a' ? 'pass' : 'fail', Package, Test: 'TestX' });
      events.add({ Action: Package === 'm/a' ? 'pass' : 'fail', Package });
    }
    events.add({ Action: 'skip', Package: 'm/b', Test: 'TestY' });
    expect(events.end(1)).toEqual({
      passed: 1,
      skipped: 1,
      failures: [{ name: 'm/b TestX', message: 'in m/b\n' }],
    });
  });

  it('tell a package that does not build', () => {
    const events = new GoEvents();
    events.add({ Action: 'build-output', ImportPath: 'm/a', Output: 'undefined: x\n' });
    events.add({ Action: 'build-fail', ImportPath: 'm/a' });
    expect(events.end(1).failures).toEqual([{ name: 'm/a', message: 'undefined: x\n' }]);
  });

  it('do not pass when the program failed without a word', () => {
    expect(new GoEvents().end(2).failures).toHaveLength(1);
  });
});

describe('a check without tests', () => {
  it('counts as one, and says what it ran', async () => {
    expect(await runCheck('true', [])).toEqual({ passed: 1, skipped: 0, failures: [] });
    expect((await runCheck('false', ['-x'])).failures).toEqual([
      { name: 'false -x', message: 'exited with 1' },
    ]);
  });
});

describe('the slowest files', () => {
  it('are those of all suites, the slowest first', () => {
    const outcome = (durations: Outcome['durations']): Outcome => ({
      passed: 1,
      skipped: 0,
      failures: [],
      ...(durations === undefined ? {} : { durations }),
    });
    const a = outcome([
      { file: 'a', ms: 1000 },
      { file: 'b', ms: 30_000 },
    ]);
    const c = outcome([{ file: 'c', ms: 2500 }]);
    expect(describeSlowest([a, outcome(undefined), c], 2)).toBe('   30.0 s  b\n    2.5 s  c');
  });
});

describe('failures at the end of a log', () => {
  it('show names whole and long reasons in part', () => {
    const message = Array.from({ length: 100 }, (_, line) => `line ${line}`).join('\n');
    const text = describeOutcome('e2e', {
      passed: 0,
      skipped: 0,
      failures: [{ name: 'a b', message }],
    });
    expect(text).toMatch(/^failed: e2e: a b\n {4}line 0\n/);
    expect(text).toContain('(70 more lines above)');
  });
});
