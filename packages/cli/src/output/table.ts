import { stripVTControlCharacters } from 'node:util';
import type { Paint } from './colors.ts';

/** Columns of text under their titles, as wide as needed. Cells may be coloured. */
export function formatTable(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  paint: Paint,
): string {
  const clean = rows.map((row) => row.map(oneLine));
  const lines = [titles.map((title) => paint('dim', title)), ...clean];
  const widths = titles.map((_, column) => Math.max(...lines.map((line) => width(line[column] ?? ''))));
  return lines
    .map((line) =>
      line
        .map((cell, column) => pad(cell, widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Names and values, one per line. Names without a value are left out. */
export function formatFields(
  fields: readonly (readonly [string, string | undefined])[],
  paint: Paint,
): string {
  const shown = fields.filter(
    (field): field is readonly [string, string] => field[1] !== undefined && field[1] !== '',
  );
  const longest = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${paint('dim', name.padEnd(longest))}  ${oneLine(value)}`).join('\n');
}

/** Control characters in names that others chose must not reach the terminal; our own colours may. */
export function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/\u001b(?!\[\d{1,2}m)|[\u0000-\u001a\u001c-\u001f\u007f-\u009f]/g, '·');
}

/** A text of a server or a sandbox by itself: no control characters at all, not even our colours. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '·');
}

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

function pad(text: string, to: number): string {
  return text + ' '.repeat(Math.max(0, to - width(text)));
}
