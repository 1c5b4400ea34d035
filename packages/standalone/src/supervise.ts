import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

/** A process that ran at least this long had a good start; its next restart is immediate. */
const goodRunMs = 10_000;
const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** How many quick ends in a row, before it ever ran well, mean that it cannot start here at all. */
const hopelessStarts = 3;

export interface Part {
  name: string;
  /** Module to run. */
  module: string;
  env: NodeJS.ProcessEnv;
}

/**
 * Keeps one process of the platform running until it is told to stop. The process ends by itself when this one
 * dies, since their channel closes then.
 */
export class Supervisor {
  readonly #part: Part;
  readonly #say: (text: string) => void;
  #child: ChildProcess | undefined;
  #stopping = false;

  constructor(part: Part, say: (text: string) => void) {
    this.#part = part;
    this.#say = say;
  }

  /** Runs it for ever. @throws Error when it cannot start here */
  async run(): Promise<void> {
    let pause = 0;
    let quickEnds = 0;
    let everGood = false;
    while (!this.#stopping) {
      const started = Date.now();
      const { how, killed } = await this.#once();
      if (this.#stopping) return;
      const good = Date.now() - started >= goodRunMs;
      everGood ||= good;
      // What cannot start here ends by itself; being killed says nothing about that.
      quickEnds = good || killed ? 0 : quickEnds + 1;
      if (!everGood && quickEnds >= hopelessStarts)
        throw new Error(
          `the ${this.#part.name} does not start: it ended ${quickEnds} times (${how}); its messages are above`,
        );
      pause = good ? 0 : Math.min(longestPauseMs, Math.max(firstPauseMs, pause * 2));
      this.#say(`the ${this.#part.name} ended (${how}); starting it again`);
      await delay(pause);
    }
  }

  async #once(): Promise<{ how: string; killed: boolean }> {
    const child = fork(this.#part.module, {
      env: this.#part.env,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) =>
        resolve({ how: signal ?? `code ${code}`, killed: signal !== null }),
      );
    });
  }

  /** Asks it to end, and kills it when it does not within `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const late = delay(deadlineMs, 'late' as const, { ref: false });
    if ((await Promise.race([ended, late])) === 'late') child.kill('SIGKILL');
    await ended;
  }
}
