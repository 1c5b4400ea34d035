/** Size of a terminal in characters. */
export interface TerminalSize {
  cols: number;
  rows: number;
}

/** The sizes that the platform accepts. */
const most = 1000;

/** The size of a terminal; terminals without one report 0. */
export function sizeOf({ columns, rows }: { columns: number; rows: number }): TerminalSize {
  const within = (value: number, fallback: number): number => Math.min(value > 0 ? value : fallback, most);
  return { cols: within(columns, 80), rows: within(rows, 24) };
}
