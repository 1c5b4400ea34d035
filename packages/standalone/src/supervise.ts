import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { withoutInherited } from './inherited-descriptors.ts';
import { defaultWatchdog, Watchdog, type WatchdogOptions } from './watchdog.ts';

/** A process that was ready and ran for at least this time is started again at once. */
const goodRunMs = 10_000;
const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** After how many ends in a row, none of them ready, the process counts as unable to start on this host. */
const hopelessStarts = 3;

export interface Part {
  name: string;
  /** Module to run. */
  module: string;
  env: NodeJS.ProcessEnv;
  /** Program and arguments that start the command which follows them, e.g. with fewer privileges. */
  through?: readonly [string, ...string[]] | undefined;
}

/**
 * Keeps one process of the platform running until `stop`: it is started again when it ends, and killed when it does not
 * answer. The process ends by itself when this one ends, since their channel closes then.
 */
export class Supervisor {
  readonly #part: Part;
  readonly #say: (text: string) => void;
  readonly #watchdog: WatchdogOptions;
  readonly #onReady: (pid: number) => void;
  #child: ChildProcess | undefined;
  #stopping: Promise<void> | undefined;

  /**
   * @param say Prints what happens for the operator
   * @param watchdog How often the process is asked whether it works
   * @param onReady Called whenever a process is ready, with its id
   */
  constructor(
    part: Part,
    say: (text: string) => void,
    watchdog: WatchdogOptions = defaultWatchdog,
    onReady: (pid: number) => void = () => undefined,
  ) {
    this.#part = part;
    this.#say = say;
    this.#watchdog = watchdog;
    this.#onReady = onReady;
  }

  /**
   * Runs the process until it is stopped. @returns how it ended then. @throws Error when it cannot start on this host
   */
  async run(): Promise<string> {
    let pause = 0;
    let failedStarts = 0;
    let everReady = false;
    let how = 'stopped before its start';
    while (this.#stopping === undefined) {
      const started = Date.now();
      const { killed, ready, ...end } = await this.#once();
      ({ how } = end);
      if (this.#stopping !== undefined) break;
      everReady ||= ready;
      // A process that cannot start on this host ends by itself; one that was killed is not counted.
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
    return how;
  }

  async #once(): Promise<{ how: string; killed: boolean; ready: boolean }> {
    const [execPath, ...words] = [...(this.#part.through ?? []), process.execPath];
    const child = fork(this.#part.module, {
      env: this.#part.env,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...withoutInherited(4)],
      execPath,
      execArgv: [...words, ...process.execArgv],
    });
    this.#child = child;
    let ready = false;
    const watchdog = new Watchdog(
      {
        // That the channel has closed is reported by the end of the process.
        ask: (question) => void (child.connected && child.send(question, () => undefined)),
        dead: (reason) => {
          if (this.#stopping !== undefined) return;
          this.#say(`the ${this.#part.name} does not work any more: ${reason}; killing it`);
          child.kill('SIGKILL');
        },
      },
      this.#watchdog,
    );
    child.on('message', (message) => {
      if (!ready && message === 'ready' && child.pid !== undefined) {
        ready = true;
        this.#onReady(child.pid);
      }
      watchdog.heard(message);
    });
    const { promise, resolve, reject } = Promise.withResolvers<{
      how: string;
      killed: boolean;
      ready: boolean;
    }>();
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      resolve({ how: signal ?? `code ${code}`, killed: signal !== null, ready }),
    );
    return promise.finally(() => watchdog.stop());
  }

  /**
   * Asks the process to end, and kills it when it does not within `deadlineMs`. It is asked only once, however often
   * this is called: a second signal would end it at once, while it cleans up.
   */
  stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    return this.#stopping;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const late = delay(deadlineMs, 'late' as const, { ref: false });
    if ((await Promise.race([ended, late])) === 'late') {
      this.#say(`the ${this.#part.name} did not end within ${deadlineMs / 1000} s; killing it`);
      child.kill('SIGKILL');
    }
    await ended;
  }
}
