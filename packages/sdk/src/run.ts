import { Deadline, sleep } from './deadline.ts';
import { ConnectionError, ExecTimeoutError, ServerError } from './errors.ts';
import { invalidOption } from './invalid-option.ts';
import { backOffMs, mayPass } from './retry.ts';
import type { HttpClient } from './http.ts';
import type { WireExecHandle, WireExecPoll, WireExecRequest } from './wire.ts';

const defaultTimeoutSeconds = 60;
/** How long to wait for the id of a command after the caller has given up, so that the error contains it. */
const startGraceMs = 1000;
/** How long a server may be unreachable, e.g. while it restarts, before waiting for a command fails. */
const serverAbsenceMs = 30_000;
const pollTimeoutMs = 15_000;
/**
 * If "still running" comes faster than this, the server does not wait with its answers, and the client pauses itself.
 */
const heldAnswerMs = 100;
const longestPauseMs = 500;

/** How long to wait for a command. */
export interface WaitOptions {
  /** Stops waiting, with an `ExecTimeoutError`; the command goes on. */
  signal?: AbortSignal | undefined;
  /** Milliseconds to wait; then an `ExecTimeoutError`, while the command goes on. Default: until it ends. */
  timeoutMs?: number | undefined;
  /** Milliseconds that each HTTP request may take. Default 60,000 to start, 15,000 to poll. */
  requestTimeoutMs?: number | undefined;
}

/** Options of `exec.run`. */
export interface RunOptions extends WaitOptions {
  /** Seconds until the command is killed (exit code -1). Default 60. */
  timeout?: number | undefined;
  /** Environment variables of this command; they override those of the sandbox. */
  env?: Record<string, string> | undefined;
  /** Working directory. Default `/home/sandbox`. */
  cwd?: string | undefined;
  /** False: it is kept out of the logs of the sandbox. */
  log?: boolean | undefined;
  /** False: `exec.list` leaves it out, for a tool's internal commands. Its id works all the same. */
  listed?: boolean | undefined;
}

/** A command that has ended. */
export interface ProcessResult {
  /** 128 + n when signal n killed it; -1 when it ran into `timeout`. */
  exitCode: number;
  /** Read as UTF-8; bytes that are not become U+FFFD. */
  stdout: string;
  stderr: string;
  /** True when it printed more than the server keeps: the oldest output is missing. */
  truncated: boolean;
}

/** Runs commands and waits for their ends. */
export class CommandRunner {
  readonly #http: HttpClient;
  readonly #path: string;

  /** @param path - that of the sandbox's commands */
  constructor(http: HttpClient, path: string) {
    this.#http = http;
    this.#path = path;
  }

  async run(command: string, options: RunOptions): Promise<ProcessResult> {
    options.signal?.throwIfAborted();
    const waiting = waitOf(options);
    try {
      const handle = await this.#start(command, options, waiting);
      if (handle.execId !== undefined) return await this.#poll(handle.execId, options, waiting);
      return resultOf(handle);
    } finally {
      waiting.release();
    }
  }

  async wait(execId: string, options: WaitOptions): Promise<ProcessResult> {
    if (!/^[\w-]+$/.test(execId))
      throw invalidOption('execId is not the id of a command', 'Take it from ExecTimeoutError.execId.');
    options.signal?.throwIfAborted();
    const waiting = waitOf(options);
    try {
      return await this.#poll(execId, options, waiting);
    } finally {
      waiting.release();
    }
  }

  async #start(command: string, options: RunOptions, waiting: Deadline): Promise<WireExecHandle> {
    const request: WireExecRequest = {
      cmd: 'sh',
      args: ['-c', command],
      timeout: options.timeout ?? defaultTimeoutSeconds,
      ...(options.env === undefined ? {} : { envs: options.env }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.log === undefined ? {} : { log: options.log }),
      ...(options.listed === undefined ? {} : { listed: options.listed }),
    };
    const starting = new AbortController();
    let grace: ReturnType<typeof setTimeout> | undefined;
    const onWaitEnd = (): void => {
      grace = setTimeout(() => starting.abort(), startGraceMs);
    };
    waiting.signal.addEventListener('abort', onWaitEnd, { once: true });
    try {
      return await this.#http.json({
        method: 'POST',
        path: `${this.#path}/run-async`,
        json: request,
        signal: starting.signal,
        requestTimeoutMs: options.requestTimeoutMs,
      });
    } catch (error) {
      if (starting.signal.aborted) throw stoppedWaiting(undefined, options, waiting);
      throw error;
    } finally {
      waiting.signal.removeEventListener('abort', onWaitEnd);
      clearTimeout(grace);
    }
  }

  async #poll(execId: string, options: WaitOptions, waiting: Deadline): Promise<ProcessResult> {
    const started = Date.now();
    let lastAnswer = started;
    let failures = 0;
    for (;;) {
      if (waiting.signal.aborted) throw stoppedWaiting(execId, options, waiting);
      const asked = Date.now();
      let pause: number;
      try {
        const poll = await this.#result(execId, options, waiting.signal);
        if (!poll.running) return endOf(poll, execId);
        lastAnswer = Date.now();
        failures = 0;
        pause = Math.min(longestPauseMs, (lastAnswer - started) / 50);
        if (lastAnswer - asked < heldAnswerMs) pause = Math.max(pause, heldAnswerMs);
      } catch (error) {
        if (waiting.signal.aborted) throw stoppedWaiting(execId, options, waiting);
        if (!mayPass(error)) throw error;
        if (Date.now() - lastAnswer > serverAbsenceMs) throw lostServer(execId, error);
        failures += 1;
        pause = backOffMs(failures);
      }
      await sleep(pause, waiting.signal).catch((reason: unknown) => {
        // The beginning of the loop reports the end of the wait.
        if (!waiting.signal.aborted) throw reason;
      });
    }
  }

  async #result(execId: string, options: WaitOptions, signal: AbortSignal): Promise<WireExecPoll> {
    const poll = await this.#http.json({
      method: 'GET',
      path: `${this.#path}/${execId}/result`,
      signal,
      retry: false,
      requestTimeoutMs: options.requestTimeoutMs ?? pollTimeoutMs,
    });
    return poll as WireExecPoll;
  }
}

function waitOf({ timeoutMs, signal }: WaitOptions): Deadline {
  if (timeoutMs !== undefined && !(timeoutMs >= 0))
    throw invalidOption(
      `timeoutMs is not a number of milliseconds: ${timeoutMs}`,
      'Give 0 or more; leave it out to wait for the end.',
    );
  const unlimited = timeoutMs === undefined || timeoutMs > 2 ** 31 - 1;
  return new Deadline(unlimited ? 0 : Math.max(timeoutMs, 1), signal);
}

function resultOf(answer: WireExecHandle | WireExecPoll): ProcessResult {
  if (typeof answer.exitCode !== 'number')
    throw new ServerError('the answer about the command holds neither execId nor exitCode', {
      code: 'unexpected_answer',
      hint: 'Check that apiUrl is the address of an OpenComputer server.',
    });
  return {
    exitCode: answer.exitCode,
    stdout: answer.stdout ?? '',
    stderr: answer.stderr ?? '',
    truncated: answer.truncated ?? false,
  };
}

function endOf(poll: WireExecPoll, execId: string): ProcessResult {
  if (poll.error === undefined || poll.error === '') return resultOf(poll);
  throw new ServerError(`the command could not be carried out: ${poll.error}`, {
    code: 'exec_failed',
    details: { execId },
  });
}

function stoppedWaiting(
  execId: string | undefined,
  options: WaitOptions,
  waiting: Deadline,
): ExecTimeoutError {
  const why = waiting.expired ? `timeoutMs (${options.timeoutMs} ms) has passed` : 'signal was aborted';
  const known = execId !== undefined;
  return new ExecTimeoutError(
    known
      ? `stopped waiting for command ${execId}, which goes on: ${why}`
      : `stopped waiting for the start of the command, which may have happened: ${why}`,
    {
      code: 'exec_timeout',
      execId,
      hint: `${known ? `exec.wait('${execId}') waits again; ` : ''}raise timeoutMs to wait longer, set timeout to have the command killed`,
      cause: waiting.expired ? undefined : options.signal?.reason,
    },
  );
}

function lostServer(execId: string, cause: unknown): ConnectionError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ConnectionError(
    `the server has not answered for ${serverAbsenceMs / 1000} s while command ${execId} was waited for: ${reason}`,
    {
      code: 'connection_lost',
      hint: `The command may go on; exec.wait('${execId}') waits again when the server is back.`,
      details: { execId },
      requestSent: true,
      cause,
    },
  );
}
