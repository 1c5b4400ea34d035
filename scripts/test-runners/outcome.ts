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
  /** How long each file of tests took, where the runner says it. */
  durations?: readonly { file: string; ms: number }[];
}

const maxMessageLines = 30;

/** The failures of a suite as the end of a log shows them: whole names, the beginning of each reason. */
export function describeOutcome(suite: string, { failures }: Outcome): string {
  return failures.map((failure) => describe(suite, failure)).join('\n');
}

/** The files that took longest, one a line, the slowest first. */
export function describeSlowest(outcomes: readonly Outcome[], count: number): string {
  return outcomes
    .flatMap(({ durations = [] }) => durations)
    .toSorted((a, b) => b.ms - a.ms)
    .slice(0, count)
    .map(({ file, ms }) => `${(ms / 1000).toFixed(1).padStart(7)} s  ${file}`)
    .join('\n');
}

function describe(suite: string, { name, message }: Failure): string {
  const lines = message.trim().split('\n');
  const shown = lines.slice(0, maxMessageLines);
  if (lines.length > shown.length) shown.push(`(${lines.length - shown.length} more lines above)`);
  return `failed: ${suite}: ${name}\n${shown.map((line) => `    ${line}`).join('\n')}\n`;
}
