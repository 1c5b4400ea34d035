import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

/** A process that was ready and ran at least this long is started again at once. */
const goodRunMs = 10_000;
const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** How many ends in a row before it was ever ready mean that it cannot start here at all. */
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
    let failedStarts = 0;
    let everReady = false;
    while (!this.#stopping) {
      const started = Date.now();
      const { how, killed, ready } = await this.#once();
      if (this.#stopping) return;
      everReady ||= ready;
      // What cannot start here ends by itself; being killed says nothing about that.
      if (!ready && !killed) failedStarts++;
      if (!everReady && failedStarts >= hopelessStarts)
        throw new Error(
          `the ${this.#part.name} does not start: it ended ${failedStarts} times (${how}); its messages are above`,
        );
      const goodRun = ready && (killed || Date.now() - started >= goodRunMs);
      pause = goodRun ? 0 : Math.min(longestPauseMs, Math.max(firstPauseMs, pause * 2));
      this.#say(`the ${this.#part.name} ended (${how}); starting it again`);
      await delay(pause);
    }
  }

  async #once(): Promise<{ how: string; killed: boolean; ready: boolean }> {
    const child = fork(this.#part.module, {
      env: this.#part.env,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    let ready = false;
    child.on('message', (message) => {
      ready ||= message === 'ready';
    });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) =>
        resolve({ how: signal ?? `code ${code}`, killed: signal !== null, ready }),
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
