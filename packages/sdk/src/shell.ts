import { checkOptions } from './check-options.ts';
import { Deadline } from './deadline.ts';
import { LimitError, ShellBusyError, ShellClosedError, TimeoutError } from './errors.ts';
import { optionNames } from './option-names.ts';
import { ShellRun } from './shell-run.ts';
import type { RequestOptions } from './config.ts';
import type { AttachLimits, ExecSession, SessionCallbacks } from './exec-session.ts';
import type { ProcessResult } from './run.ts';
import type { ShellRunOptions } from './shell-run.ts';

/** Options of `exec.shell`. */
export interface ShellOptions extends AttachLimits {
  /** Directory in which it starts. Default `/home/sandbox`. */
  cwd?: string | undefined;
  /** Environment variables of the shell and of all that it runs. */
  env?: Record<string, string> | undefined;
}

/**
 * A bash that keeps its directory, variables and functions from one `run` to the next. Get one with `exec.shell`.
 * It runs one command at a time. A command that calls `exit` closes it, and so does one whose syntax is wrong.
 *
 * @example
 * const shell = await sandbox.exec.shell();
 * await shell.run('cd /tmp && export NAME=value');
 * const { stdout } = await shell.run('echo $NAME in $PWD');
 * await shell.close();
 */
export class Shell {
  readonly #session: ExecSession;
  #run: ShellRun | undefined;
  #closed: { reason: string } | undefined;

  private constructor(session: ExecSession) {
    this.#session = session;
    session.done.then(
      (exitCode) => this.#end(`bash exited with code ${exitCode}`, undefined),
      (error: unknown) => this.#end('its connection is lost', error),
    );
  }

  /** Internal: use `exec.shell` or `exec.reattachShell`. */
  static async open(start: (callbacks: SessionCallbacks) => Promise<ExecSession>): Promise<Shell> {
    let shell: Shell | undefined;
    // Earlier output belongs to earlier commands.
    let live = false;
    const running = (): ShellRun | undefined => (live && shell !== undefined ? shell.#run : undefined);
    const session = await start({
      onStdout: (data) => running()?.push('stdout', data),
      onStderr: (data) => running()?.push('stderr', data),
      onGap: () => running()?.gap(),
      onScrollbackEnd: () => {
        live = true;
      },
    });
    shell = new Shell(session);
    return shell;
  }

  /** For `exec.reattachShell`, also from another process. */
  get sessionId(): string {
    return this.#session.sessionId;
  }

  /**
   * Runs a command in this shell and waits for its end. Of each stream the newest 8 MiB are kept.
   *
   * @throws ShellBusyError when another command runs
   * @throws ShellClosedError when the shell has ended, also because the command ended it
   * @throws TimeoutError, or the reason of `signal`, when the wait is over; the command goes on
   * @example
   * const { exitCode } = await shell.run('make', { onStdout: (data) => process.stdout.write(data) });
   */
  async run(command: string, options: ShellRunOptions = {}): Promise<ProcessResult> {
    checkOptions('shell.run', options, optionNames.shellRun);
    options.signal?.throwIfAborted();
    if (this.#closed !== undefined) throw new ShellClosedError(this.#closed.reason);
    if (this.#run !== undefined) throw new ShellBusyError();
    const run = new ShellRun(options, {
      onEnd: () => {
        if (this.#run === run) this.#run = undefined;
      },
      onCorrupt: (reason) => this.#end(reason, undefined),
    });
    this.#run = run;
    this.#session.sendStdin(run.input(command)).catch((error: unknown) => {
      // Input that is too large has not been sent, so the shell is unchanged.
      if (error instanceof LimitError) run.fail(error);
      else this.#end('it takes no input', error);
    });
    const waiting = new Deadline(Math.max(options.timeoutMs ?? 0, 0), options.signal);
    const stop = new Promise<never>((_resolve, reject) => {
      waiting.signal.addEventListener('abort', () => {
        run.silence();
        reject(waiting.expired ? waitOver(waiting.limitMs) : options.signal?.reason);
      });
    });
    try {
      return await Promise.race([run.result, stop]);
    } finally {
      waiting.release();
    }
  }

  /** Makes the shell exit after the command that it runs, if any, and waits for that. */
  async close(): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#closed = { reason: 'it was closed' };
    try {
      // `done` settles also when the shell has ended before.
      void this.#session.sendStdin('exit\n');
      await this.#session.done;
    } finally {
      this.#session.close();
    }
  }

  /**
   * Sends a signal to the shell and what it runs.
   *
   * @param signal - its number; default 9 (KILL)
   */
  async kill(signal?: number, options: RequestOptions = {}): Promise<void> {
    await this.#session.kill(signal, options);
  }

  #end(reason: string, cause: unknown): void {
    this.#closed ??= { reason };
    this.#run?.fail(new ShellClosedError(reason, cause));
  }
}

function waitOver(limitMs: number): TimeoutError {
  return new TimeoutError(
    `stopped waiting for the command in the shell: timeoutMs (${limitMs} ms) has passed`,
    {
      code: 'exec_timeout',
      hint: 'The command goes on, and the shell is busy until it ends; shell.kill() ends both',
    },
  );
}
