import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Failure, Outcome } from './outcome.ts';
import { root, run, withDirectory } from './process.ts';

/** What is used of vitest's JSON report, https://vitest.dev/guide/reporters#json-reporter. */
export interface VitestReport {
  numPassedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: readonly {
    name: string;
    status: string;
    message: string;
    /** Milliseconds since 1970. */
    startTime: number;
    endTime: number;
    assertionResults: readonly { fullName: string; status: string; failureMessages: readonly string[] }[];
  }[];
}

/** The messages without the stack frames of the runner itself. */
const reason = (messages: readonly string[]): string =>
  messages
    .flatMap((message) => message.split('\n'))
    .filter((line) => !/^\s+at (.*node_modules|new Promise)/.test(line))
    .join('\n');

/** Reads a report: its failed tests, and the files that failed without a failed test, as when they cannot be loaded. */
export function readVitestReport(report: VitestReport, code: number): Outcome {
  const failures: Failure[] = [];
  for (const file of report.testResults) {
    const name = relative(root, file.name);
    const before = failures.length;
    for (const { fullName, status, failureMessages } of file.assertionResults) {
      if (status === 'failed')
        failures.push({ name: `${name} > ${fullName}`, message: reason(failureMessages) });
    }
    if (failures.length === before && file.status === 'failed')
      failures.push({ name, message: file.message });
  }
  if (code !== 0 && failures.length === 0)
    failures.push({ name: 'the run', message: `vitest exited with ${code} though no test failed` });
  return {
    passed: report.numPassedTests,
    skipped: report.numPendingTests + report.numTodoTests,
    failures,
    durations: report.testResults.map(({ name, startTime, endTime }) => ({
      file: relative(root, name),
      ms: endTime - startTime,
    })),
  };
}

/** Runs vitest with these arguments. */
export function runVitest(args: readonly string[]): Promise<Outcome> {
  return withDirectory(async (directory) => {
    const report = join(directory, 'report.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const code = await run('vitest', ['run', ...args, ...reporters]);
    return readVitestReport(JSON.parse(await readFile(report, 'utf8')) as VitestReport, code);
  });
}
