import { writeSync } from 'node:fs';

const pauseMs = 2;
const attempts = 25;
const clock = new Int32Array(new SharedArrayBuffer(4));

/**
 * Where log lines go. A line that cannot be written, because the disk is full or nobody reads the pipe, is dropped: the
 * process must neither wait for space nor end for lack of it. Pino's own output would wait for ever.
 */
export class LogOutput {
  readonly #descriptor: number;
  #lost = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(line: string): void {
    const note = this.#lost === 0 ? '' : `{"level":40,"msg":"${this.#lost} lines of this log were lost"}\n`;
    if (this.#tryWrite(note + line)) this.#lost = 0;
    else this.#lost++;
  }

  #tryWrite(text: string): boolean {
    let rest = Buffer.from(text);
    for (let attempt = 0; attempt < attempts; attempt++) {
      try {
        rest = rest.subarray(writeSync(this.#descriptor, rest));
        if (rest.length === 0) return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return false;
        Atomics.wait(clock, 0, 0, pauseMs);
      }
    }
    return false;
  }
}
