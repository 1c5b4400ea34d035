import { checkOptions } from './check-options.ts';
import { requestOptions } from './config.ts';
import { ExecSession } from './exec-session.ts';
import { OpenComputerError } from './errors.ts';
import { optionNames } from './option-names.ts';
import type { RequestOptions } from './config.ts';
import type { AttachLimits, SessionCallbacks } from './exec-session.ts';
import type { SessionApi, TerminalSize } from './sessions.ts';
import type { ExecSessionInfo } from './session-info.ts';
import type { WireCreatePty } from './wire.ts';

/** Callbacks of a terminal. */
export interface PtyCallbacks extends Pick<
  SessionCallbacks,
  'onExit' | 'onScrollbackEnd' | 'onGap' | 'onDisconnect' | 'onReconnect' | 'onHibernate' | 'onWake'
> {
  /** Called with what the terminal is to show. */
  onOutput?: ((data: Uint8Array) => void) | undefined;
}

/** Options of `pty.create`. */
export interface PtyOptions extends Partial<TerminalSize>, PtyCallbacks, AttachLimits {
  /** The program in it. Default `/bin/bash`, else `/bin/sh`. */
  shell?: string | undefined;
  /** Environment variables in addition to those of the sandbox. */
  env?: Record<string, string> | undefined;
  /** Working directory. Default `/home/sandbox`. */
  cwd?: string | undefined;
}

/** Options of `pty.attach`. */
export interface PtyAttachOptions extends Partial<TerminalSize>, PtyCallbacks, AttachLimits {
  /** Offset in the output at which to begin: `session.offset` of an earlier attachment. Default 0: all that is kept. */
  from?: number | undefined;
}

/**
 * A terminal with a program in it. It goes on when the connection is lost, and the client reconnects by itself. Get one
 * with `pty.create` or `pty.attach`.
 */
export class PtySession implements AsyncIterable<Uint8Array> {
  readonly #api: SessionApi;
  readonly #session: ExecSession;

  private constructor(api: SessionApi, session: ExecSession) {
    this.#api = api;
    this.#session = session;
  }

  /** Internal: use `pty.create` or `pty.attach`. */
  static async open(
    api: SessionApi,
    sessionId: string,
    { onOutput, ...options }: PtyAttachOptions,
  ): Promise<PtySession> {
    return new PtySession(api, await ExecSession.open(api, sessionId, { ...options, onStdout: onOutput }));
  }

  /** For `pty.attach`, also from another process. */
  get sessionId(): string {
    return this.#session.sessionId;
  }

  /** The exit code of the program; -1 when it was closed here. Rejects when the connection is lost for good. */
  get done(): Promise<number> {
    return this.#session.done;
  }

  /** Offset in the output: `pty.attach(sessionId, { from: offset })` goes on there. */
  get offset(): number {
    return this.#session.offset;
  }

  /** Types. Ctrl-C is `\x03`. Resolves when the terminal has it. @throws ConflictError when the program has ended */
  send(data: string | Uint8Array): Promise<void> {
    return this.#session.sendStdin(data);
  }

  /** Changes the size of the terminal. @throws ConflictError when it has ended; InvalidRequestError */
  async resize(size: TerminalSize, options: RequestOptions = {}): Promise<void> {
    checkOptions('terminal.resize', size, optionNames.size);
    await this.#api.resize(this.sessionId, size, requestOptions('terminal.resize', options));
  }

  /** Hangs up: its processes get SIGHUP, and are killed two seconds later. */
  async kill(options: RequestOptions = {}): Promise<void> {
    await this.#api.hangUp(this.sessionId, requestOptions('terminal.kill', options));
  }

  /** Detaches from the terminal, which goes on. */
  close(): void {
    this.#session.close();
  }

  /** The output, piece by piece, until the program ends; for terminals without `onOutput`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, undefined> {
    for await (const { data } of this.#session) yield data;
  }
}

/** Terminals of a sandbox: `sandbox.pty`. */
export class Pty {
  readonly #api: SessionApi;

  /** Internal: use `sandbox.pty`. */
  constructor(api: SessionApi) {
    this.#api = api;
  }

  /**
   * Opens a terminal with a shell in it, of 80 by 24 characters by default.
   *
   * @throws InvalidRequestError when size or shell is invalid; LimitError, SandboxStoppedError, ConnectionError
   * @example
   * const terminal = await sandbox.pty.create({ cols: 120, rows: 40, onOutput: (data) => process.stdout.write(data) });
   * await terminal.send('top\n');
   */
  async create(options: PtyOptions = {}): Promise<PtySession> {
    checkOptions('pty.create', options, optionNames.ptyCreate);
    const request: WireCreatePty = {
      cols: options.cols ?? 80,
      rows: options.rows ?? 24,
      shell: options.shell,
      envs: options.env,
      cwd: options.cwd,
    };
    const sessionId = await this.#api.create('pty', request, options);
    try {
      return await PtySession.open(this.#api, sessionId, options);
    } catch (error) {
      if (error instanceof OpenComputerError) error.details['sessionId'] = sessionId;
      throw error;
    }
  }

  /**
   * Attaches to a running terminal, with its earlier output: the newest 1 MiB is kept. With a size the terminal is
   * resized first, so that a full-screen program draws its screen again.
   *
   * @throws NotFoundError when no terminal has this id
   * @example
   * const again = await sandbox.pty.attach(sessionId, { cols: 100, rows: 30, onOutput: write });
   */
  async attach(sessionId: string, options: PtyAttachOptions = {}): Promise<PtySession> {
    checkOptions('pty.attach', options, optionNames.ptyAttach);
    const { cols, rows, signal, requestTimeoutMs } = options;
    if (cols !== undefined && rows !== undefined)
      await this.#api.resize(sessionId, { cols, rows }, { signal, requestTimeoutMs });
    return PtySession.open(this.#api, sessionId, options);
  }

  /** Lists the terminals. */
  async list(options: RequestOptions = {}): Promise<ExecSessionInfo[]> {
    return (await this.#api.list('pty', requestOptions('pty.list', options))) as ExecSessionInfo[];
  }
}
