import { checkOptions } from './check-options.ts';
import { requestOptions } from './config.ts';
import { ExecSession } from './exec-session.ts';
import { CommandRunner } from './run.ts';
import { optionNames } from './option-names.ts';
import { Shell } from './shell.ts';
import { OpenComputerError } from './errors.ts';
import type { RequestOptions } from './config.ts';
import type { AttachLimits, ExecAttachOptions, SessionCallbacks } from './exec-session.ts';
import type { HttpClient } from './http.ts';
import type { ProcessResult, RunOptions, WaitOptions } from './run.ts';
import type { SessionApi } from './sessions.ts';
import type { ShellOptions } from './shell.ts';
import type { ExecSessionInfo } from './session-info.ts';
import type { WireStartExec } from './wire.ts';

/** Options of `exec.start`. */
export interface ExecStartOptions extends SessionCallbacks, AttachLimits {
  /** Arguments. Without them, a command with white space in it is run by `sh -c`. */
  args?: string[] | undefined;
  /** Environment variables of this command; they override those of the sandbox. */
  env?: Record<string, string> | undefined;
  /** Working directory. Default `/home/sandbox`. */
  cwd?: string | undefined;
  /** Seconds until the command is killed (exit code -1). Default: never. */
  timeout?: number | undefined;
  /** Seconds after which the command is killed when nobody is attached. Default: never. */
  maxRunAfterDisconnect?: number | undefined;
  /**
   * false: a service in the background, which does not keep the sandbox from hibernating. Default true: the sandbox is
   * in use until the command ends, even if it prints nothing.
   */
  keepAwake?: boolean | undefined;
  /** False: it is kept out of the logs of the sandbox. */
  log?: boolean | undefined;
  /** False: `exec.list` leaves it out, for a tool's internal commands. Its id works all the same. */
  listed?: boolean | undefined;
}

/** Runs commands in a sandbox: `sandbox.exec`. */
export class Exec {
  readonly #runner: CommandRunner;
  readonly #sessions: SessionApi;

  /** Internal: use `sandbox.exec`. */
  constructor(http: HttpClient, sandboxPath: string, sessions: SessionApi) {
    this.#runner = new CommandRunner(http, `${sandboxPath}/exec`);
    this.#sessions = sessions;
  }

  /**
   * Runs a line of shell (`sh -c`) as user `sandbox` and waits for its end. A command that fails is not an
   * error: look at `exitCode`. Survives a restart of the server.
   *
   * @param command - the line, e.g. `npm test && echo passed`
   * @throws ExecTimeoutError when `timeoutMs` or `signal` ends the wait; the command goes on
   * @throws InvalidRequestError when it cannot start, e.g. because `cwd` does not exist
   * @throws SandboxStoppedError, SandboxNotFoundError, ConnectionError, LimitError
   * @example
   * const { exitCode, stdout } = await sandbox.exec.run('python3 --version', { cwd: '/tmp', timeout: 30 });
   */
  async run(command: string, options: RunOptions = {}): Promise<ProcessResult> {
    return this.#runner.run(command, checkOptions('exec.run', options, optionNames.run));
  }

  /**
   * Waits for a command that `run` stopped waiting for. The results of the newest commands are kept.
   *
   * @param execId - from `ExecTimeoutError.execId`
   * @throws NotFoundError when no command has this id or its result is no longer kept (`result_not_kept`); else as
   * `run`
   * @example
   * const result = await sandbox.exec.wait(error.execId, { timeoutMs: 60_000 });
   */
  async wait(execId: string, options: WaitOptions = {}): Promise<ProcessResult> {
    return this.#runner.wait(execId, checkOptions('exec.wait', options, optionNames.wait));
  }

  /**
   * Starts a command and attaches to it: its output as it comes, its input, its end. The command goes on when the
   * connection is lost, and the session reconnects by itself.
   *
   * @param command - an executable with `args`, or a line of shell
   * @throws InvalidRequestError when it cannot start; LimitError when too many commands run
   * @throws SandboxStoppedError, SandboxNotFoundError, ConnectionError. Where the command had started,
   * `details.sessionId` names it
   * @example
   * const build = await sandbox.exec.start('make', { args: ['-j4'], cwd: '/app', onStdout: write, onStderr: write });
   * console.log(await build.done);
   */
  async start(command: string, options: ExecStartOptions = {}): Promise<ExecSession> {
    checkOptions('exec.start', options, optionNames.start);
    const request: WireStartExec = {
      cmd: command,
      args: options.args,
      envs: options.env,
      cwd: options.cwd,
      timeout: options.timeout,
      maxRunAfterDisconnect: options.maxRunAfterDisconnect,
      keepAwake: options.keepAwake,
      log: options.log,
      listed: options.listed,
    };
    const sessionId = await this.#sessions.create('exec', request, options);
    try {
      return await ExecSession.open(this.#sessions, sessionId, options);
    } catch (error) {
      if (error instanceof OpenComputerError) error.details['sessionId'] = sessionId;
      throw error;
    }
  }

  /** The same as `start`. */
  async background(command: string, options: ExecStartOptions = {}): Promise<ExecSession> {
    return this.start(command, options);
  }

  /**
   * Attaches to a command by its id: its earlier output (the newest 1 MiB is kept), then new output as it comes. Any
   * number of clients may be attached, and all may write to its input. A command that has ended is replayed with its
   * end.
   *
   * @param sessionId - from `session.sessionId`, `exec.list` or `ExecTimeoutError.execId`
   * @throws NotFoundError when no command has this id, or nothing of it is kept any more
   * @example
   * const again = await sandbox.exec.attach(session.sessionId, { onStdout: write });
   */
  async attach(sessionId: string, options: ExecAttachOptions = {}): Promise<ExecSession> {
    checkOptions('exec.attach', options, optionNames.attach);
    return ExecSession.open(this.#sessions, sessionId, options);
  }

  /** Lists the commands that run, and the newest sessions that have ended. */
  async list(options: RequestOptions = {}): Promise<ExecSessionInfo[]> {
    return (await this.#sessions.list('exec', requestOptions('exec.list', options))) as ExecSessionInfo[];
  }

  /**
   * Sends a signal to a command and its children.
   *
   * @param signal - its number; default 9 (KILL)
   * @throws NotFoundError when no command has this id
   * @example
   * await sandbox.exec.kill(session.sessionId, 15);
   */
  async kill(sessionId: string, signal?: number, options: RequestOptions = {}): Promise<void> {
    await this.#sessions.kill('exec', sessionId, signal, requestOptions('exec.kill', options));
  }

  /**
   * Starts a bash that keeps its directory, variables and functions from one `run` to the next.
   *
   * @example
   * const shell = await sandbox.exec.shell({ cwd: '/app' });
   * await shell.run('export MODE=test; cd src');
   * console.log((await shell.run('echo $MODE in $PWD')).stdout);
   * await shell.close();
   */
  async shell(options: ShellOptions = {}): Promise<Shell> {
    checkOptions('exec.shell', options, optionNames.shell);
    const args = ['--noprofile', '--norc', '+m'];
    return Shell.open((callbacks) => this.start('bash', { ...options, args, ...callbacks }));
  }

  /**
   * Attaches to a shell by its id, e.g. from another process. Nothing may run in it at that time.
   *
   * @throws NotFoundError when no session has this id
   * @example
   * const shell = await sandbox.exec.reattachShell(sessionId);
   */
  async reattachShell(sessionId: string, options: AttachLimits = {}): Promise<Shell> {
    checkOptions('exec.reattachShell', options, optionNames.attachLimits);
    return Shell.open((callbacks) => this.attach(sessionId, { ...options, ...callbacks }));
  }
}
