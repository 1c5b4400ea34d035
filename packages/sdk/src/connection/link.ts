import { sleep } from '../deadline.ts';
import { ConnectionError, OpenComputerError } from '../errors.ts';
import { mayPass, retryPauseMs } from '../retry.ts';
import { brokenFrame, closeError, lostForGood, noInput } from './failures.ts';
import { parseFrame } from './frames.ts';
import { openSocket } from './open.ts';
import { Reconnection } from './reconnect.ts';
import { messageBytes } from './socket.ts';
import { InputQueue } from './stdin.ts';
import type { RequestOptions } from '../config.ts';
import type { Frame, OutputStream } from './frames.ts';
import type { SessionAddress } from './open.ts';
import type { ReconnectOptions } from './reconnect.ts';
import type { WebSocketLike } from './socket.ts';

/** Callbacks of a link to its session. */
export interface LinkListener {
  output(stream: OutputStream, data: Uint8Array): void;
  /** All output from before the attachment has been delivered. */
  replayEnd(): void;
  /** This many bytes of output are lost at this place. */
  gap(bytes: number): void;
  /** The command has ended, and all its output has been delivered. */
  exit(code: number): void;
  /** The connection is lost for good, or the caller's signal has aborted. */
  fail(error: unknown): void;
  disconnected(reason: OpenComputerError): void;
  reconnected(): void;
  /** The sandbox hibernates, or runs again. */
  power(awake: boolean): void;
}

/** Settings of one attachment. */
export interface LinkOptions extends RequestOptions {
  /** Offset in the output to begin at. */
  from: number;
  reconnect?: ReconnectOptions | false | undefined;
}

/**
 * The connection to one session. It reconnects by itself: output goes on at the offset that was reached, and input
 * after the bytes that the session has accepted.
 */
export class SessionLink {
  readonly #address: SessionAddress;
  readonly #options: LinkOptions;
  readonly #listener: LinkListener;
  readonly #reconnection: Reconnection;
  /** Id of this writer, so that the session knows what it has accepted from it. */
  readonly #client = crypto.getRandomValues(new Uint32Array(4)).join('-');
  readonly #input = new InputQueue();
  readonly #stop = new AbortController();
  #socket: WebSocketLike | undefined;
  #connections = 0;
  /** Offset in all output of the next byte to be delivered. */
  #offset: number;
  /** The server sends offsets and accepted input, without which reconnecting is impossible. */
  #resumable = false;
  /** The current connection takes input. */
  #takesInput = false;
  #replayed = false;
  #paused = false;
  /** Events wait here until the caller that attaches has the session. */
  #held: (() => void)[] | undefined = [];

  constructor(address: SessionAddress, options: LinkOptions, listener: LinkListener) {
    this.#address = address;
    this.#options = options;
    this.#offset = options.from;
    this.#listener = listener;
    this.#reconnection = new Reconnection(options.reconnect ?? address.http.reconnect);
  }

  get offset(): number {
    return this.#offset;
  }

  get closed(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Attaches. @throws typed errors, see `openSocket`; the reason of the signal */
  async attach(): Promise<void> {
    const { signal, requestTimeoutMs } = this.#options;
    try {
      for (let attempt = 1; this.#socket === undefined; attempt += 1)
        try {
          await this.#connect({ signal, requestTimeoutMs });
        } catch (error) {
          const pause = retryPauseMs(error, attempt, { idempotent: true, replayable: true });
          if (pause === undefined) throw error;
          await sleep(pause, signal);
        }
    } catch (error) {
      this.close();
      throw error;
    }
    signal?.addEventListener('abort', this.#onAbort);
    // Settled after pending promises, so that the caller continues before any output is delivered.
    setTimeout(() => {
      const held = this.#held ?? [];
      this.#held = undefined;
      for (const happen of held) happen();
    }, 0);
  }

  /** Resolves when the session has accepted the bytes. @throws ConflictError when it has ended; LimitError */
  async send(data: Uint8Array): Promise<void> {
    const accepted = this.#input.push(data);
    this.#flush();
    await accepted;
  }

  /** Ends the command's standard input. */
  async sendEnd(): Promise<void> {
    const accepted = this.#input.end();
    this.#flush();
    await accepted;
  }

  /** Makes the server wait. False when this kind of socket cannot do that. */
  pause(): boolean {
    this.#paused = true;
    this.#socket?.pause?.();
    return this.#socket?.pause !== undefined;
  }

  resume(): void {
    this.#paused = false;
    this.#socket?.resume?.();
  }

  /** Detaches from the session, which goes on. Nothing is delivered from now on. */
  close(): void {
    this.#end(noInput(this.#address.sessionId, 'was closed'));
  }

  #onAbort = (): void => this.#fail(this.#options.signal?.reason);

  #fail(error: unknown): void {
    if (this.closed) return;
    this.#end(
      error instanceof OpenComputerError ? error : noInput(this.#address.sessionId, 'was closed here'),
    );
    this.#listener.fail(error);
  }

  #end(inputError: OpenComputerError): void {
    if (this.closed) return;
    this.#stop.abort();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#input.fail(inputError);
    this.#socket?.resume?.();
    this.#socket?.close();
    this.#socket = undefined;
  }

  /** False when the connection was useless as soon as it was open. */
  async #connect(limits: RequestOptions): Promise<boolean> {
    this.#connections += 1;
    const connection = this.#connections;
    const isCurrent = (): boolean => !this.closed && connection === this.#connections;
    const handlers = {
      message: (data: unknown): void => this.#inOrder(() => isCurrent() && this.#onMessage(data)),
      close: (code: number, reason: string): void =>
        this.#inOrder(() => isCurrent() && this.#onLost(closeError(this.#address.sessionId, code, reason))),
    };
    const query = { from: String(this.#offset), client: this.#client };
    this.#takesInput = false;
    const socket = await openSocket(this.#address, query, handlers, limits);
    if (!isCurrent()) {
      socket.close();
      return false;
    }
    this.#socket = socket;
    this.#reconnection.attached();
    if (this.#paused) socket.pause?.();
    this.#flush();
    return true;
  }

  #inOrder(happen: () => void): void {
    if (this.#held === undefined) happen();
    else this.#held.push(happen);
  }

  #onLost(lost: OpenComputerError): void {
    this.#socket = undefined;
    this.#connections += 1;
    this.#takesInput = false;
    this.#reconnection.lost();
    // A server may also disconnect a client that reads too slowly.
    const refused = !(lost instanceof ConnectionError) && this.#input.underWay;
    if (!this.#resumable || refused) return this.#fail(lost);
    this.#listener.disconnected(lost);
    void this.#comeBack(lost);
  }

  async #comeBack(lost: OpenComputerError): Promise<void> {
    const { signal } = this.#stop;
    let last = lost;
    while (!this.closed) {
      const pause = this.#reconnection.nextPauseMs();
      if (pause === undefined) {
        const { timeoutMs } = this.#reconnection;
        return this.#fail(lostForGood(this.#address.sessionId, this.#offset, timeoutMs, last));
      }
      try {
        await sleep(pause, signal);
        const requestTimeoutMs = this.#reconnection.attemptMs();
        if (await this.#connect({ signal, requestTimeoutMs })) this.#listener.reconnected();
        return;
      } catch (error) {
        if (!mayPass(error)) {
          if (error instanceof OpenComputerError) error.cause ??= lost;
          return this.#fail(error);
        }
        last = error;
      }
    }
  }

  #onMessage(data: unknown): void {
    const bytes = messageBytes(data);
    if (bytes === undefined) return;
    let frame: Frame | undefined;
    try {
      frame = parseFrame(bytes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return this.#fail(brokenFrame(this.#address.sessionId, error));
    }
    if (frame !== undefined) this.#onFrame(frame);
  }

  #onFrame(frame: Frame): void {
    switch (frame.type) {
      case 'accepted':
        return this.#onAccepted(frame.bytes);
      case 'offset':
        this.#offset = frame.offset;
        return;
      case 'replayEnd':
        this.#takeInput();
        if (!this.#replayed) this.#listener.replayEnd();
        this.#replayed = true;
        return;
      case 'output':
        this.#reconnection.progress();
        this.#offset += frame.data.byteLength;
        return this.#listener.output(frame.stream, frame.data);
      case 'gap':
        this.#offset += frame.bytes;
        return this.#listener.gap(frame.bytes);
      case 'power':
        return this.#listener.power(frame.awake);
      case 'exit':
        this.#end(noInput(this.#address.sessionId, 'has ended'));
        return this.#listener.exit(frame.code);
    }
  }

  #onAccepted(bytes: number): void {
    this.#resumable = true;
    if (this.#takesInput) {
      this.#reconnection.progress();
      this.#input.accept(bytes);
      this.#flush();
    } else {
      this.#input.rewind(bytes);
      this.#takeInput();
    }
  }

  #takeInput(): void {
    this.#takesInput = true;
    this.#flush();
  }

  #flush(): void {
    if (!this.#takesInput || this.#socket === undefined) return;
    for (const frame of this.#input.next()) this.#socket.send(frame);
    if (!this.#resumable) this.#input.acceptSent();
  }
}
