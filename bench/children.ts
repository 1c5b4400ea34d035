import { type ChildProcess, fork } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const endMs = 15_000;
const pollMs = 2;

/** One process of the platform, with its output in a file. */
export class Child {
  readonly #process: ChildProcess;
  readonly #logFile: string;
  readonly name: string;

  private constructor(name: string, process: ChildProcess, logFile: string) {
    this.name = name;
    this.#process = process;
    this.#logFile = logFile;
  }

  /** Starts a module under this Node. It is told when we die, by the end of the channel between us. */
  static start(name: string, module: string, env: NodeJS.ProcessEnv, logFile: string): Child {
    const log = openSync(logFile, 'a');
    try {
      const child = fork(module, { env, stdio: ['ignore', log, log, 'ipc'] });
      return new Child(name, child, logFile);
    } finally {
      closeSync(log);
    }
  }

  get pid(): number {
    const { pid } = this.#process;
    if (pid === undefined) throw new Error(`the ${this.name} could not be started`);
    return pid;
  }

  get #ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** Waits until `condition` holds. @throws Error with the end of its output, when it ends before or takes too long */
  async until(condition: () => Promise<boolean>, deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs;
    while (!(await condition())) {
      if (this.#ended) throw new Error(`the ${this.name} ended: ${await this.lastLines()}`);
      if (performance.now() > end)
        throw new Error(`the ${this.name} was not ready within ${deadlineMs} ms: ${await this.lastLines()}`);
      await delay(pollMs);
    }
  }

  async lastLines(): Promise<string> {
    const text = await readFile(this.#logFile, 'utf8').catch(() => '');
    return text.trim().split('\n').slice(-5).join('\n');
  }

  /** Asks it to end, and kills it when it does not. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    const ended = new Promise<void>((resolve) => this.#process.once('exit', () => resolve()));
    this.#process.kill('SIGTERM');
    const late = delay(endMs, 'late' as const, { ref: false });
    if ((await Promise.race([ended, late])) === 'late') this.#process.kill('SIGKILL');
    await ended;
  }
}
