import { notify } from './connection/notify.ts';
import { MarkedOutput } from './marked-output.ts';
import type { OutputStream } from './connection/frames.ts';
import type { ProcessResult } from './run.ts';

/** Options of `shell.run`. */
export interface ShellRunOptions {
  /** Called with output as it comes. */
  onStdout?: ((data: Uint8Array) => void) | undefined;
  onStderr?: ((data: Uint8Array) => void) | undefined;
  /** Stops waiting; the command goes on, and the shell is busy until it ends. */
  signal?: AbortSignal | undefined;
  /** Milliseconds to wait; then a `TimeoutError`, as with `signal`. Default: until the command ends. */
  timeoutMs?: number | undefined;
}

/** More than any exit code and its line end need. */
const longestTrailer = 32;

/** The shell in which a command runs. */
export interface RunningShell {
  /** The command has ended; another may run. */
  onEnd(): void;
  /** The output of the shell is invalid, so that nothing more can be read from it. */
  onCorrupt(reason: string): void;
}

/**
 * One command in a shell. After the command the shell prints a marker with a random token to each stream. The two
 * streams are not ordered, so the command has ended when both markers have come.
 */
export class ShellRun {
  /** Rejects with ShellClosedError when the shell ends first. */
  readonly result: Promise<ProcessResult>;
  readonly #token = randomToken();
  readonly #stdout: MarkedOutput;
  readonly #stderr: MarkedOutput;
  readonly #shell: RunningShell;
  #callbacks: ShellRunOptions;
  #gap = false;
  #resolve: (result: ProcessResult) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(callbacks: ShellRunOptions, shell: RunningShell) {
    this.#callbacks = callbacks;
    this.#shell = shell;
    this.#stdout = new MarkedOutput(`\n__OC_${this.#token}_DONE__\n`, (data) =>
      notify(this.#callbacks.onStdout, data),
    );
    this.#stderr = new MarkedOutput(`\n__OC_${this.#token}_EXIT_`, (data) =>
      notify(this.#callbacks.onStderr, data),
    );
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A caller that stopped waiting does not look at it any more.
    this.result.catch(() => undefined);
  }

  /** The input of the shell for this command. */
  input(command: string): string {
    const body = command.trim() === '' ? ':' : command;
    const done = `printf '\\n__OC_${this.#token}_DONE__\\n'`;
    const exit = `printf '\\n__OC_${this.#token}_EXIT_%s__\\n' "$__oc_ec" >&2`;
    return `{ ${body}\n} ; __oc_ec=$? ; ${done} ; ${exit}\n`;
  }

  push(stream: OutputStream, data: Uint8Array): void {
    (stream === 'stdout' ? this.#stdout : this.#stderr).push(data);
    this.#finishIfBoth();
  }

  /** Output is missing. */
  gap(): void {
    this.#gap = true;
  }

  /** Its output is not needed any more. */
  silence(): void {
    this.#callbacks = {};
  }

  fail(error: unknown): void {
    this.#shell.onEnd();
    this.#reject(error);
  }

  #finishIfBoth(): void {
    const trailer = this.#stderr.after;
    if (this.#stdout.after === undefined || trailer === undefined) return;
    const text = new TextDecoder().decode(trailer.subarray(0, longestTrailer));
    const code = /^(-?\d+)__\n/.exec(text)?.[1];
    if (code === undefined) {
      // The rest may come with the next piece.
      if (/^-?\d*(_|__)?$/.test(text) && text.length < longestTrailer) return;
      return this.#shell.onCorrupt(`corrupt sentinel: ${JSON.stringify(text)}`);
    }
    this.#shell.onEnd();
    this.#resolve({
      exitCode: Number(code),
      stdout: this.#stdout.text(),
      stderr: this.#stderr.text(),
      truncated: this.#gap || this.#stdout.truncated || this.#stderr.truncated,
    });
  }
}

function randomToken(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
