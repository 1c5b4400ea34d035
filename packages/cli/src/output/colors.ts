const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 } as const;

export type Color = keyof typeof codes;

/** Colours a text, or leaves it as it is. */
export type Paint = (color: Color, text: string) => string;

export const plain: Paint = (_, text) => text;

const ansi: Paint = (color, text) => `\u001b[${codes[color]}m${text}\u001b[0m`;

/** Decides whether to use colours, which are only for terminals. */
export interface ColorSwitches {
  isTerminal: boolean;
  /** False with `--no-color`. */
  wanted: boolean;
  env: NodeJS.ProcessEnv;
}

export function paintFor({ isTerminal, wanted, env }: ColorSwitches): Paint {
  const refused = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  return isTerminal && wanted && !refused ? ansi : plain;
}

const statusColors: Readonly<Record<string, Color>> = {
  running: 'green',
  ready: 'green',
  hibernated: 'blue',
  processing: 'yellow',
  stopped: 'dim',
  error: 'red',
  failed: 'red',
};

/** A state, always in the same colour. */
export function paintStatus(paint: Paint, status: string): string {
  const color = statusColors[status];
  return color === undefined ? status : paint(color, status);
}
