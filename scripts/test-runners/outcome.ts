/** A test that failed, as the end of the log names it. */
export interface Failure {
  name: string;
  /** Why, as the test's runner says it. */
  message: string;
}

/** What came of a suite. */
export interface Outcome {
  passed: number;
  skipped: number;
  failures: readonly Failure[];
  /** Tests that failed and then passed: they count as passed, and are shown with what went wrong first. */
  flaky: readonly Failure[];
}

const maxMessageLines = 30;

/** The failures of a suite as the end of a log shows them: whole names, the beginning of each reason. */
export function describeOutcome(suite: string, { failures, flaky }: Outcome): string {
  const described = [
    ...flaky.map((failure) => describe('passed at the second try', suite, failure)),
    ...failures.map((failure) => describe('failed', suite, failure)),
  ];
  return described.join('\n');
}

function describe(verdict: string, suite: string, { name, message }: Failure): string {
  const lines = message.trim().split('\n');
  const shown = lines.slice(0, maxMessageLines);
  if (lines.length > shown.length) shown.push(`(${lines.length - shown.length} more lines above)`);
  return `${verdict}: ${suite}: ${name}\n${shown.map((line) => `    ${line}`).join('\n')}\n`;
}
