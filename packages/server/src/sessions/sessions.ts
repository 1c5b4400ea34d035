import {
  ApiError,
  type CreateSession,
  type CreateTerminal,
  type GuestExecRequest,
  type GuestSession,
  limits,
  newExecId,
  type SessionKind,
} from '@opencomputer/protocol';
import { type Commands, visibilityOf } from '../sandboxes/commands.ts';
import type { Machines } from '../sandboxes/machines.ts';
import { commandLine } from './command-line.ts';

/** How long a session is held back rather than lose output before somebody attaches for the first time. */
const holdMs = 10_000;
/** How long what runs in a terminal may take to end when it is told to hang up. */
const hangUpMs = 2000;
const hangUp = 1;
const kill = 9;
/** Terminals of which it is remembered that nobody has attached to them yet. */
const freshKept = 4096;

/** A session that was started. */
export interface StartedSession {
  readonly id: string;
  readonly argv: readonly string[];
  readonly startedAt: string;
}

type SessionOptions = Partial<Omit<GuestExecRequest, 'argv' | 'id' | 'waitMs'>>;

/** Starts, lists and ends sessions in machines that are awake. Whoever calls has checked whose they are. */
export class SessionService {
  readonly #machines: Machines;
  readonly #commands: Commands;
  /** Terminals nobody has attached to yet: the first one sees what was printed before. */
  readonly #fresh = new Set<string>();

  constructor(machines: Machines, commands: Commands) {
    this.#machines = machines;
    this.#commands = commands;
  }

  /** @throws ApiError `command_not_started`, `too_many_commands`, `unsupported_guest` */
  async create(sandboxId: string, request: CreateSession): Promise<StartedSession> {
    const { cwd, envs, timeout, maxRunAfterDisconnect, keepAwake } = request;
    return this.start(sandboxId, 'session', await commandLine(this.#machines, sandboxId, request), {
      ...(cwd ? { cwd } : {}),
      ...(envs ? { env: envs } : {}),
      ...(timeout ? { timeoutMs: timeout * 1000 } : {}),
      ...(keepAwake === false ? { keepAwake } : {}),
      ...(maxRunAfterDisconnect ? { maxRunAfterDisconnectMs: maxRunAfterDisconnect * 1000 } : {}),
      ...visibilityOf(request),
    });
  }

  /** Opens a terminal. @throws ApiError like `create` */
  async createTerminal(sandboxId: string, request: CreateTerminal): Promise<StartedSession> {
    const { cols, rows, shell, cwd, envs } = request;
    const options: SessionOptions = {
      tty: { cols, rows },
      ...(cwd ? { cwd } : {}),
      ...(envs ? { env: envs } : {}),
    };
    const open = (program: string): Promise<StartedSession> =>
      this.start(sandboxId, 'pty', [program], options);
    const started = await open(shell ?? '/bin/bash').catch((error: unknown) => {
      const missing = error instanceof ApiError && error.code === 'command_not_started';
      if (shell !== undefined || !missing) throw error;
      return open('/bin/sh');
    });
    const [oldest] = this.#fresh;
    if (this.#fresh.size >= freshKept && oldest !== undefined) this.#fresh.delete(oldest);
    this.#fresh.add(`${sandboxId}/${started.id}`);
    return started;
  }

  /** True for a terminal that nobody has attached to. */
  isFresh(sandboxId: string, id: string): boolean {
    return this.#fresh.has(`${sandboxId}/${id}`);
  }

  noLongerFresh(sandboxId: string, id: string): void {
    this.#fresh.delete(`${sandboxId}/${id}`);
  }

  /** Starts a command that clients can attach to. */
  async start(
    sandboxId: string,
    kind: SessionKind,
    argv: readonly string[],
    options: SessionOptions = {},
  ): Promise<StartedSession> {
    const id = newExecId();
    const { startedAt } = await this.#commands.startSession(sandboxId, {
      id,
      kind,
      argv: [...argv],
      stdin: true,
      bufferBytes: limits.sessionOutputBytes,
      holdMs,
      waitMs: 0,
      ...options,
    });
    return { id, argv, startedAt };
  }

  /** Every command that the agent knows of, oldest first. */
  async all(sandboxId: string): Promise<GuestSession[]> {
    const sessions = await this.#machines.listSessions(sandboxId);
    return sessions.toSorted((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
  }

  /** Those of some kinds that run, or of which at least the exit code is kept. */
  async list(sandboxId: string, kinds: readonly SessionKind[]): Promise<GuestSession[]> {
    const sessions = await this.all(sandboxId);
    return sessions.filter(({ kind }) => kinds.some((wanted) => wanted === kind));
  }

  /** @throws ApiError `exec_not_found` when there is none, or none of these kinds; `result_not_kept` */
  async find(sandboxId: string, id: string, kinds?: readonly SessionKind[]): Promise<GuestSession> {
    const sessions = await this.#machines.listSessions(sandboxId);
    const found = sessions.find((session) => session.id === id);
    if (found !== undefined && (kinds === undefined || kinds.some((kind) => kind === found.kind)))
      return found;
    // Says so where the result of one is no longer kept.
    if (found === undefined) await this.#machines.commandResult(sandboxId, id, 0);
    throw new ApiError('exec_not_found', `no session has the id ${id.slice(0, 64)}`);
  }

  /** Sends a signal to the processes of a session; one that has ended is left at that. @throws ApiError `exec_not_found` */
  async signal(sandboxId: string, id: string, signal: number = kill): Promise<void> {
    try {
      await this.#machines.signalCommand(sandboxId, id, signal);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === 'session_ended')) throw error;
    }
  }

  /** Ends what runs in a terminal, asking it first. @throws ApiError `exec_not_found` */
  async closeTerminal(sandboxId: string, id: string): Promise<void> {
    const { running } = await this.find(sandboxId, id, ['pty']);
    if (!running) return;
    await this.signal(sandboxId, id, hangUp);
    const result = await this.#machines.commandResult(sandboxId, id, hangUpMs);
    if (result.running) await this.signal(sandboxId, id, kill);
  }

  /** @throws ApiError `exec_not_found`, `not_terminal`, `session_ended` */
  resize(sandboxId: string, id: string, size: { cols: number; rows: number }): Promise<void> {
    return this.#machines.resizeTerminal(sandboxId, id, size);
  }
}
