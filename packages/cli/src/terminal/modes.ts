/** Private modes of terminals that a program turns on for itself, and that must be turned off after it. */
const watched = new Map<string, 'on' | 'off'>([
  ['1', 'off'], // cursor keys send other codes
  ['25', 'on'], // the cursor is shown
  ['47', 'off'], // other screen
  ['1000', 'off'], // mouse
  ['1002', 'off'],
  ['1003', 'off'],
  ['1004', 'off'], // focus
  ['1006', 'off'],
  ['1015', 'off'],
  ['1047', 'off'],
  ['1049', 'off'],
  ['2004', 'off'], // marked pastes
]);

/** The longest sequence that may be cut by the end of a chunk. */
const longestSequence = 64;
// eslint-disable-next-line no-control-regex
const privateMode = /\u001b\[\?([\d;]{1,48})([hl])/g;

/** Tracks the modes that a program sets, to reset them where the program cannot. */
export class TerminalModes {
  readonly #changed = new Set<string>();
  #rest = '';

  follow(data: Uint8Array): void {
    const text = this.#rest + Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');
    for (const [, modes, letter] of text.matchAll(privateMode))
      for (const mode of modes?.split(';') ?? []) this.#set(mode, letter === 'h' ? 'on' : 'off');
    const cut = text.lastIndexOf('\u001b');
    this.#rest = cut >= 0 && text.length - cut < longestSequence ? text.slice(cut) : '';
  }

  /** The sequences that reset the terminal. */
  get undo(): string {
    const modes = [...this.#changed].map(
      (mode) => `\u001b[?${mode}${watched.get(mode) === 'on' ? 'h' : 'l'}`,
    );
    return modes.length === 0 ? '' : `${modes.join('')}\u001b[0m`;
  }

  #set(mode: string, state: 'on' | 'off'): void {
    const usual = watched.get(mode);
    if (usual === undefined) return;
    if (state === usual) this.#changed.delete(mode);
    else this.#changed.add(mode);
  }
}
