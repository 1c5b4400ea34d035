import { spawnSync } from 'node:child_process';
import { LocalError } from '../output/errors.ts';
import { TerminalModes } from './modes.ts';
import type { TerminalSize } from './size.ts';
import { sizeOf } from './size.ts';

/** The terminal in which `oc` runs, while a program in a sandbox uses it. */
export class LocalTerminal {
  readonly #modes = new TerminalModes();
  #raw = false;

  /** @throws LocalError where there is none */
  constructor() {
    if (!process.stdin.isTTY || !process.stdout.isTTY)
      throw new LocalError('a shell needs a terminal, and this is none', {
        hint: 'Use `oc exec ID -- COMMAND` in scripts and pipes.',
      });
  }

  get size(): TerminalSize {
    return sizeOf(process.stdout);
  }

  /** Sends every key to the program. Undone when this process ends, however it ends. */
  enter(): void {
    this.#raw = true;
    takeKeys();
    process.on('exit', this.#leaveNow);
    // The mode is lost when oc is stopped and continued, e.g. by another shell.
    process.on('SIGCONT', this.#again);
  }

  async show(data: Uint8Array): Promise<void> {
    this.#modes.follow(data);
    if (!process.stdout.write(data)) await new Promise((resolve) => process.stdout.once('drain', resolve));
  }

  /** A notice of oc between the program's output. */
  notice(text: string): void {
    process.stdout.write(`\r\n\u001b[7m oc: ${text} \u001b[0m\r\n`);
  }

  leave(): void {
    process.off('exit', this.#leaveNow);
    process.off('SIGCONT', this.#again);
    this.#leaveNow();
  }

  #leaveNow = (): void => {
    if (!this.#raw) return;
    this.#raw = false;
    process.stdout.write(this.#modes.undo);
    process.stdin.setRawMode(false);
  };

  #again = (): void => {
    process.stdin.setRawMode(false);
    takeKeys();
  };
}

/**
 * Raw mode for input and output. Node's raw mode still adds a carriage return before every line feed, which breaks the
 * output of full-screen programs. Without stty that cannot be changed. Leaving raw mode restores all settings.
 */
function takeKeys(): void {
  process.stdin.setRawMode(true);
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
}
