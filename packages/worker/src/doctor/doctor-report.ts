import type { Check } from './checks.ts';

export interface ReportStyle {
  /** Whether to colour the marks: on a terminal, unless `NO_COLOR` is set. */
  readonly color: boolean;
}

const marks = { ok: 'ok', warn: 'warn', fail: 'FAIL' } as const;
const markWidth = 4;
const colors = { ok: 32, warn: 33, fail: 31 } as const;

/** The checks as aligned text, with a line of totals at the end. */
export function formatChecks(checks: readonly Check[], style: ReportStyle): string {
  const titleWidth = Math.max(0, ...checks.map(({ title }) => printable(title).length));
  const indent = ' '.repeat(2 + markWidth + 2 + titleWidth + 2);
  const lines = checks.flatMap((check) => {
    const mark = paint(marks[check.status].padEnd(markWidth), colors[check.status], style);
    return [
      `  ${mark}  ${printable(check.title).padEnd(titleWidth)}  ${printable(check.found)}`,
      ...(check.why === undefined ? [] : [`${indent}${printable(check.why)}`]),
      ...(check.fix === undefined ? [] : [`${indent}To fix: ${printable(check.fix)}`]),
    ];
  });
  const count = (status: Check['status']): number => checks.filter((check) => check.status === status).length;
  const totals = `${count('ok')} ok, ${count('warn')} to note, ${count('fail')} failed`;
  return `${[...lines, '', totals].join('\n')}\n`;
}

/** The checks as a JSON document: `{ "ok": boolean, "checks": [...] }`. */
export function formatChecksAsJson(checks: readonly Check[]): string {
  const ok = !checks.some(({ status }) => status === 'fail');
  return `${JSON.stringify({ ok, checks }, null, 2)}\n`;
}

function paint(text: string, color: number, { color: colored }: ReportStyle): string {
  return colored ? `\u001B[${color}m${text}\u001B[0m` : text;
}

/**
 * Paths and errors of other programs may contain control characters, which would act on the terminal: each becomes a
 * blank.
 */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ').trim();
}
