import { requestOptions } from './config.ts';
import { invalidOption } from './invalid-option.ts';
import { LimitError } from './errors.ts';
import { SessionLink } from './connection/link.ts';
import { ignorable, notify } from './connection/notify.ts';
import { OutputQueue } from './connection/output.ts';
import type { RequestOptions } from './config.ts';
import type { OpenComputerError } from './errors.ts';
import type { OutputStream } from './connection/frames.ts';
import type { LinkListener } from './connection/link.ts';
import type { ReconnectOptions } from './connection/reconnect.ts';
import type { SessionApi } from './sessions.ts';

/** Callbacks of a session. They are called in order, one after the other. */
export interface SessionCallbacks {
  onStdout?: ((data: Uint8Array) => void) | undefined;
  onStderr?: ((data: Uint8Array) => void) | undefined;
  /** The command has ended; -1 when the session was closed here, or its connection was lost for good. */
  onExit?: ((exitCode: number) => void) | undefined;
  /** All output from before the attachment has been delivered. */
  onScrollbackEnd?: (() => void) | undefined;
  /** This many bytes of output are missing at this place: more was printed than is kept. */
  onGap?: ((bytes: number) => void) | undefined;
  /** The connection is lost, and is being restored. */
  onDisconnect?: ((reason: OpenComputerError) => void) | undefined;
  /** The connection is restored. Nothing was lost meanwhile unless `onGap` says so. */
  onReconnect?: (() => void) | undefined;
  /** The sandbox hibernates: nothing runs until input, or any use, wakes it. */
  onHibernate?: (() => void) | undefined;
  /** It runs again, and continues where it was. */
  onWake?: (() => void) | undefined;
}

/** Limits of an attachment. */
export interface AttachLimits extends RequestOptions {
  /** Ends the start and, later, the attachment, whose `done` then rejects with its reason; the command goes on. */
  signal?: AbortSignal | undefined;
  /** How it reconnects after a lost connection; false: not at all. Default: as the sandbox is configured. */
  reconnect?: ReconnectOptions | false | undefined;
}

/** Options of `exec.attach`. */
export interface ExecAttachOptions extends SessionCallbacks, AttachLimits {
  /**
   * Offset at which to begin, in all output ever printed, both streams counted together: `session.offset` of an earlier
   * attachment. Default 0: all that is kept.
   */
  from?: number | undefined;
}

/** A piece of output. */
export interface ExecOutput {
  stream: OutputStream;
  data: Uint8Array;
}

const encoder = new TextEncoder();

/**
 * A running command, and the connection to it. The command goes on when the connection is closed or lost. Get one with
 * `exec.start` or `exec.attach`.
 *
 * @example
 * const session = await sandbox.exec.start('sort', { onStdout: (data) => process.stdout.write(data) });
 * await session.sendStdin('b\na\n');
 * await session.closeStdin();
 * console.log(await session.done);
 */
export class ExecSession implements AsyncIterable<ExecOutput> {
  /** For `exec.attach`, also from another process. */
  readonly sessionId: string;
  /**
   * The exit code: 128 + n when signal n killed the command, -1 when it ran into `timeout` or the session was
   * closed here. Rejects when the connection is lost for good.
   */
  readonly done: Promise<number>;
  readonly #api: SessionApi;
  readonly #link: SessionLink;
  readonly #callbacks: SessionCallbacks;
  readonly #output: OutputQueue<ExecOutput>;
  /** Without callbacks output waits for a loop that iterates. */
  #queues: boolean;
  readonly #settle: PromiseWithResolvers<number>;

  private constructor(api: SessionApi, sessionId: string, options: ExecAttachOptions) {
    this.sessionId = sessionId;
    this.#api = api;
    this.#callbacks = options;
    this.#queues = options.onStdout === undefined && options.onStderr === undefined;
    const from = checkedOffset(options.from);
    this.#link = new SessionLink(api.address(sessionId), { ...options, from }, this.#listener());
    this.#output = new OutputQueue({
      pause: () => this.#link.pause(),
      resume: () => this.#link.resume(),
      dropped: (bytes) => notify(options.onGap, bytes),
      tooSlow,
    });
    this.#settle = withResolvers();
    // With callbacks only, a lost connection is reported by onExit.
    this.done = ignorable(this.#settle.promise);
  }

  /** Internal: use `exec.start` or `exec.attach`. */
  static async open(api: SessionApi, sessionId: string, options: ExecAttachOptions): Promise<ExecSession> {
    const session = new ExecSession(api, sessionId, options);
    await session.#link.attach();
    return session;
  }

  /** Offset of the next byte in all output: `exec.attach(sessionId, { from: offset })` goes on there. */
  get offset(): number {
    return this.#link.offset;
  }

  /**
   * Writes to the command's standard input. Resolves when the session has accepted the bytes; await that where you send
   * more than a few MiB. Nothing is lost or repeated when the connection breaks meanwhile.
   *
   * @throws ConflictError when the command has ended or the session is closed; LimitError when over 16 MiB wait
   * @example
   * await session.sendStdin('yes\n');
   */
  sendStdin(data: string | Uint8Array): Promise<void> {
    return ignorable(this.#link.send(typeof data === 'string' ? encoder.encode(data) : data));
  }

  /** Ends the command's standard input, after all that was sent. */
  closeStdin(): Promise<void> {
    return ignorable(this.#link.sendEnd());
  }

  /**
   * Sends a signal to the command and its children.
   *
   * @param signal - its number; default 9 (KILL)
   * @throws NotFoundError when the session is not kept any more
   */
  async kill(signal?: number, options: RequestOptions = {}): Promise<void> {
    await this.#api.kill('exec', this.sessionId, signal, requestOptions('session.kill', options));
  }

  /** Detaches from the command, which goes on. `done` resolves with -1. */
  close(): void {
    if (this.#link.closed) return;
    this.#link.close();
    this.#finish(-1);
  }

  /**
   * The output, piece by piece, until the command ends. The command waits for a slow loop if the WebSocket supports
   * that (the one of the package `ws` does). Of output from before the loop the newest 1 MiB is kept.
   *
   * @throws what `done` rejects with
   * @example
   * for await (const { stream, data } of session) process[stream].write(data);
   */
  [Symbol.asyncIterator](): AsyncIterator<ExecOutput, undefined> {
    this.#queues = true;
    return this.#output[Symbol.asyncIterator]();
  }

  #listener(): LinkListener {
    const callbacks = this.#callbacks;
    return {
      output: (stream, data) => {
        if (this.#queues) this.#output.push({ stream, data });
        notify(stream === 'stdout' ? callbacks.onStdout : callbacks.onStderr, data);
      },
      replayEnd: () => notify(callbacks.onScrollbackEnd),
      gap: (bytes) => notify(callbacks.onGap, bytes),
      exit: (code) => this.#finish(code),
      fail: (error) => {
        this.#settle.reject(error);
        this.#output.end({ error });
        notify(callbacks.onExit, -1);
      },
      disconnected: (reason) => notify(callbacks.onDisconnect, reason),
      reconnected: () => notify(callbacks.onReconnect),
      power: (awake) => notify(awake ? callbacks.onWake : callbacks.onHibernate),
    };
  }

  #finish(exitCode: number): void {
    this.#settle.resolve(exitCode);
    this.#output.end();
    notify(this.#callbacks.onExit, exitCode);
  }
}

interface PromiseWithResolvers<Value> {
  promise: Promise<Value>;
  resolve(value: Value): void;
  reject(error: unknown): void;
}

/** `Promise.withResolvers`, which Node 20 does not have. */
function withResolvers<Value>(): PromiseWithResolvers<Value> {
  let resolve: (value: Value) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<Value>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

function checkedOffset(from: number | undefined): number {
  if (from === undefined || (Number.isSafeInteger(from) && from >= 0)) return from ?? 0;
  throw invalidOption(`from is not an offset: ${from}`, 'Give session.offset of an earlier attachment.');
}

function tooSlow(bytes: number): LimitError {
  return new LimitError(`${bytes} bytes of output wait for a loop that is slower than the command`, {
    code: 'too_slow',
    hint: 'Pass webSocket: (url, options) => new WebSocket(url, options) with the WebSocket of the package ws, which can make the command wait',
  });
}
