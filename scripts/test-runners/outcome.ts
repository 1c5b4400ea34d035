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
}

const maxMessageLines = 30;

/** The failures of a suite as the end of a log shows them: whole names, the beginning of each reason. */
export function describeOutcome(suite: string, { failures }: Outcome): string {
  return failures.map((failure) => describe(suite, failure)).join('\n');
}

function describe(suite: string, { name, message }: Failure): string {
  const lines = message.trim().split('\n');
  const shown = lines.slice(0, maxMessageLines);
  if (lines.length > shown.length) shown.push(`(${lines.length - shown.length} more lines above)`);
  return `failed: ${suite}: ${name}\n${shown.map((line) => `    ${line}`).join('\n')}\n`;
}
