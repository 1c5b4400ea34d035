import { setTimeout as delay } from 'node:timers/promises';
import {
  ApiError,
  type ExecPoll,
  type ExecRequest,
  type ExecResult,
  type GuestExecRequest,
  limits,
  newExecId,
} from '@opencomputer/protocol';
import type { WorkerExecResult } from '../workers/client.ts';
import { WorkerUnreachable } from '../workers/transport.ts';
import type { Machines } from './machines.ts';

/** Milliseconds that one request to the worker waits for the end of a command. */
const longestWaitMs = 25_000;
/** How long a command is asked after while the worker is away. */
const workerAwayMs = 60_000;
/** How long a command that cannot have reached the worker is sent again. */
const sendAgainMs = 10_000;
const retryMs = 200;
/** What an agent may need to kill a command at its timeout, and then some. */
const overtimeMs = 60_000;

/** A command that was started: finished within the wait, or still running. */
export type Started =
  | { readonly running: false; readonly result: ExecResult }
  | { readonly running: true; readonly execId: string };

/** Runs commands in machines, through restarts of the worker. */
export class Commands {
  readonly #machines: Machines;

  constructor(machines: Machines) {
    this.#machines = machines;
  }

  /** Runs a command to its end. When `clientGone` is aborted the command goes on, but nobody waits for it. */
  async run(sandboxId: string, request: ExecRequest, clientGone: AbortSignal): Promise<ExecResult> {
    const guestRequest = toGuestRequest(request);
    const deadline = performance.now() + (guestRequest.timeoutMs ?? 0) + overtimeMs;
    let result = await this.#start(sandboxId, { ...guestRequest, waitMs: longestWaitMs });
    while (result.running) {
      clientGone.throwIfAborted();
      if (performance.now() > deadline)
        throw new ApiError('guest_timeout', 'the guest did not end the command at its timeout');
      result = await this.#await(sandboxId, result.id, longestWaitMs, clientGone);
    }
    return toResult(result);
  }

  /** Starts a command and waits up to `waitMs` for its end. */
  async start(sandboxId: string, request: ExecRequest, waitMs: number): Promise<Started> {
    const result = await this.#start(sandboxId, { ...toGuestRequest(request), waitMs });
    return result.running
      ? { running: true, execId: result.id }
      : { running: false, result: toResult(result) };
  }

  /** Starts a command that clients attach to. @throws ApiError like `run` */
  startSession(sandboxId: string, request: GuestExecRequest & { id: string; waitMs: number }) {
    return this.#send(sandboxId, request);
  }

  /** The state of a command after `waitMs` at most. @throws ApiError `exec_not_found`. */
  async poll(sandboxId: string, execId: string, waitMs: number): Promise<ExecPoll> {
    const result = await this.#machines.commandResult(sandboxId, execId, waitMs);
    const output = { stdout: decode(result.stdout), stderr: decode(result.stderr) };
    const truncated = result.truncated ? { truncated: true } : {};
    if (result.running) return { running: true, ...output, ...truncated };
    return { running: false, ...toResult(result), commandMs: result.durationMs };
  }

  async #start(
    sandboxId: string,
    request: GuestExecRequest & { id: string; waitMs: number },
  ): Promise<WorkerExecResult> {
    const result = await this.#send(sandboxId, request);
    return { ...result, id: request.id };
  }

  /**
   * Sends a command so that it runs once at most: what may have arrived is asked after, and started only where it
   * certainly did not run.
   */
  async #send(
    sandboxId: string,
    request: GuestExecRequest & { id: string; waitMs: number },
  ): Promise<WorkerExecResult> {
    const sentAt = Date.now();
    try {
      const first = (): Promise<WorkerExecResult> => this.#machines.startCommand(sandboxId, request);
      return await repeatWhile(first, (error) => error instanceof WorkerUnreachable && error.neverSent, {
        withinMs: sendAgainMs,
      });
    } catch (error) {
      const neverSent = error instanceof WorkerUnreachable && error.neverSent;
      if (!neverSent && fateUnknown(error)) return this.#sendAgain(sandboxId, request, sentAt, error);
      throw error;
    }
  }

  /** @param lost what was heard instead of an answer */
  async #sendAgain(
    sandboxId: string,
    request: GuestExecRequest & { id: string; waitMs: number },
    sentAt: number,
    lost: ApiError,
  ): Promise<WorkerExecResult> {
    const again = (): Promise<WorkerExecResult> => this.#machines.startCommand(sandboxId, request, sentAt);
    try {
      return await repeatWhile(again, isAway, { withinMs: workerAwayMs + request.waitMs });
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'exec_not_found') throw error;
      if (lost.code !== 'worker_unavailable') throw lost;
      throw new ApiError('worker_unavailable', 'the worker went away; the command may have run or not', {
        hint: 'The memory or the agent that could tell is gone. Look at what the command was to do.',
        cause: lost,
      });
    }
  }

  /** Waits for a command by its id, also while the worker is away for a while. */
  async #await(
    sandboxId: string,
    execId: string,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<WorkerExecResult> {
    const ask = (): Promise<WorkerExecResult> =>
      this.#machines.commandResult(sandboxId, execId, waitMs, signal);
    const result = await repeatWhile(ask, isAway, { withinMs: workerAwayMs + waitMs, signal });
    return { ...result, id: execId };
  }
}

/** Makes a call again and again while it fails in a way that passes. */
async function repeatWhile<Result>(
  call: () => Promise<Result>,
  passes: (error: unknown) => boolean,
  { withinMs, signal }: { withinMs: number; signal?: AbortSignal },
): Promise<Result> {
  const started = performance.now();
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!passes(error) || performance.now() - started > withinMs) throw error;
      await delay(retryMs, undefined, signal === undefined ? {} : { signal });
    }
  }
}

function isAway(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'worker_unavailable';
}

/** True when a command may have been started although the answer is an error. */
function fateUnknown(error: unknown): error is ApiError {
  return (
    error instanceof ApiError &&
    ['worker_unavailable', 'worker_timeout', 'guest_failed', 'guest_timeout'].includes(error.code)
  );
}

function toGuestRequest(request: ExecRequest): GuestExecRequest & { id: string } {
  return {
    id: newExecId(),
    argv: [request.cmd, ...(request.args ?? [])],
    ...(request.cwd ? { cwd: request.cwd } : {}),
    ...(request.envs ? { env: request.envs } : {}),
    timeoutMs: 1000 * (request.timeout || limits.execTimeoutSecondsDefault),
    bufferBytes: limits.execOutputBytes,
    ...visibilityOf(request),
  };
}

/** Where a command is to show, as the agent takes it. */
export function visibilityOf({
  log,
  listed,
}: Pick<ExecRequest, 'log' | 'listed'>): Pick<GuestExecRequest, 'unlogged' | 'unlisted'> {
  return { ...(log === false ? { unlogged: true } : {}), ...(listed === false ? { unlisted: true } : {}) };
}

/** Bytes that are not UTF-8 become replacement characters. */
function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}

function toResult(result: WorkerExecResult): ExecResult {
  const stderr = decode(result.stderr);
  return {
    exitCode: result.timedOut ? -1 : (result.exitCode ?? -1),
    stdout: decode(result.stdout),
    stderr: result.timedOut ? `${stderr}\nProcess timed out` : stderr,
    ...(result.truncated ? { truncated: true } : {}),
  };
}
