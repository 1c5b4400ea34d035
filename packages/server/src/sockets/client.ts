import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/** From here on the session is held back until the client has read. */
const behindBytes = 256 * 1024;
/** A client is pinged so often, and taken for gone after so many pings without a sign of life. */
const silentPings = 3;
/** Most bytes of a close reason. */
const reasonBytes = 123;

/** Milliseconds of what clients are given time for. */
export interface ClientTiming {
  readonly pingMs: number;
  /** How often it is looked whether they live and read. */
  readonly lookMs: number;
  /** How long a client may take nothing while something waits for it. */
  readonly stallMs: number;
  /** How long the client may take to answer a close. */
  readonly closeMs: number;
}

export const defaultClientTiming: ClientTiming = {
  pingMs: 30_000,
  lookMs: 1000,
  stallMs: 60_000,
  closeMs: 5000,
};

export interface ClientHandlers {
  message(data: Buffer, isBinary: boolean): void;
  /** It has read what waited for it. */
  caughtUp(): void;
  closed(code: number): void;
}

/** The WebSocket of a client: bounded in what waits for it, watched for signs of life. */
export class ClientSocket {
  readonly #socket: WebSocket;
  readonly #connection: Duplex;
  readonly #timing: ClientTiming;
  #handlers: ClientHandlers | undefined;
  #lastProgress = performance.now();
  #lastPing = performance.now();
  #unanswered = 0;
  #behind = false;
  #heldBack = false;
  #ending: { code: number; reason: string } | undefined;
  #closed = false;
  /** Bytes towards the client, for the log. */
  bytesSent = 0;

  constructor(socket: WebSocket, connection: Duplex, timing: ClientTiming) {
    this.#socket = socket;
    this.#connection = connection;
    this.#timing = timing;
    const alive = (): void => {
      this.#unanswered = 0;
    };
    socket.on('pong', alive);
    socket.on('ping', alive);
    // The library has answered what was wrong with a close of its own; the end follows.
    socket.on('error', () => undefined);
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      alive();
      if (this.#ending === undefined) this.#handlers?.message(data, isBinary);
    });
    socket.on('close', (code) => {
      this.#closed = true;
      this.#handlers?.closed(code);
    });
  }

  listen(handlers: ClientHandlers): void {
    this.#handlers = handlers;
    if (this.#closed) handlers.closed(1006);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** True from the moment that it is being closed. */
  get ending(): boolean {
    return this.#ending !== undefined || this.#closed;
  }

  /** True while more waits for it than should. */
  get behind(): boolean {
    return this.#behind;
  }

  /** Sends messages in one go. @param taken Called when the last of them has left for the client. */
  send(messages: readonly Buffer[], taken: () => void): void {
    if (this.ending || messages.length === 0) return;
    if (this.#socket.bufferedAmount === 0) this.#lastProgress = performance.now();
    this.#connection.cork();
    for (const [index, message] of messages.entries()) {
      this.bytesSent += message.length;
      const last = index === messages.length - 1;
      this.#socket.send(message, { binary: true }, (error) => {
        this.#progress();
        // oxlint-disable-next-line typescript/no-unnecessary-condition -- Absent when all went well.
        if (last && !error) taken();
      });
    }
    this.#connection.uncork();
    this.#behind ||= this.#socket.bufferedAmount > behindBytes;
  }

  #progress(): void {
    this.#lastProgress = performance.now();
    const waiting = this.#socket.bufferedAmount;
    if (waiting === 0 && this.#ending !== undefined) this.#close();
    if (!this.#behind || waiting > behindBytes / 2) return;
    this.#behind = false;
    this.#handlers?.caughtUp();
  }

  /** Stops reading what it sends, or goes on with that. */
  holdBack(held: boolean): void {
    if (held === this.#heldBack || this.#closed) return;
    this.#heldBack = held;
    if (held) this.#socket.pause();
    else this.#socket.resume();
  }

  /** Closes it once it has read what waits for it. */
  finish(code: number, reason = ''): void {
    if (this.ending) return;
    this.#ending = { code, reason: cut(reason) };
    this.holdBack(false);
    if (this.#socket.bufferedAmount === 0) this.#close();
  }

  /** Closes it without waiting for it to read. */
  breakOff(code: number, reason: string): void {
    this.#ending ??= { code, reason: cut(reason) };
    this.holdBack(false);
    this.#close();
  }

  /** Looks whether it still lives and reads; called every so often. */
  tick(now = performance.now()): void {
    const waiting = this.#socket.bufferedAmount > 0;
    if (waiting && now - this.#lastProgress > this.#timing.stallMs)
      return this.breakOff(1013, `the client has read nothing for ${this.#timing.stallMs / 1000} s`);
    // One that is not read from can't be heard either.
    if (this.#heldBack || now - this.#lastPing < this.#timing.pingMs || this.ending) return;
    if (this.#unanswered >= silentPings) return this.terminate();
    this.#lastPing = now;
    this.#unanswered += 1;
    this.#socket.ping();
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #close(): void {
    const { code, reason } = this.#ending ?? { code: 1011, reason: '' };
    this.#socket.close(code, reason);
    setTimeout(() => this.terminate(), this.#timing.closeMs).unref();
  }
}

/** The most of a text that a close frame holds. */
function cut(text: string): string {
  let bytes = Buffer.from(text).subarray(0, reasonBytes);
  // Not in the middle of a character.
  while (!Buffer.from(bytes.toString()).equals(bytes)) bytes = bytes.subarray(0, -1);
  return bytes.toString();
}
