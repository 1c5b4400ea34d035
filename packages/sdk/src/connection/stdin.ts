import { LimitError } from '../errors.ts';
import { endOfInputFrame, inputFrames } from './frames.ts';
import type { OpenComputerError } from '../errors.ts';

/** How much input may wait for the command. */
const mostWaiting = 16 * 1024 * 1024;
/** How much input may be under way at a time. */
const mostOnTheWay = 1024 * 1024;

interface Piece {
  /** Offset of its first byte in all input. */
  readonly start: number;
  readonly data: Uint8Array;
}

interface Waiter {
  readonly position: number;
  resolve(): void;
  reject(error: OpenComputerError): void;
}

/**
 * Input of one client for one session, kept until the session has accepted it, so that no byte is lost or sent twice.
 */
export class InputQueue {
  #pieces: Piece[] = [];
  #waiters: Waiter[] = [];
  /** Callers that wait until the end has been sent. */
  #endWaiters: Waiter[] = [];
  #queued = 0;
  #sent = 0;
  #accepted = 0;
  #ended = false;
  #endSent = false;
  #failure: OpenComputerError | undefined;

  /** Resolves when the session has accepted it. */
  push(data: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#queued - this.#accepted + data.byteLength > mostWaiting)
      return Promise.reject(
        new LimitError(`more than ${mostWaiting} bytes of input wait for the command to read them`, {
          code: 'too_large',
          hint: 'Await each sendStdin before the next, and send less than 16 MiB at once.',
        }),
      );
    if (data.byteLength > 0) this.#pieces.push({ start: this.#queued, data: data.slice() });
    this.#queued += data.byteLength;
    return this.#acceptanceOf(this.#queued);
  }

  /** Marks the end of the input. Resolves when the session has accepted everything, and the end is sent. */
  async end(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#ended = true;
    const told = new Promise<void>((resolve, reject) => {
      if (this.#endSent) resolve();
      else this.#endWaiters.push({ position: this.#queued, resolve, reject });
    });
    await Promise.all([this.#acceptanceOf(this.#queued), told]);
  }

  /** True while something has been sent that the session has not accepted. */
  get underWay(): boolean {
    return this.#sent > this.#accepted || this.#endSent;
  }

  /** The session has accepted this many bytes in all. */
  accept(total: number): void {
    this.#accepted = Math.max(this.#accepted, Math.min(total, this.#sent));
    while (this.#pieces[0] !== undefined && endOf(this.#pieces[0]) <= this.#accepted) this.#pieces.shift();
    while (this.#waiters[0] !== undefined && this.#waiters[0].position <= this.#accepted)
      this.#waiters.shift()?.resolve();
  }

  /** Everything that was sent counts as accepted, for servers that do not acknowledge. */
  acceptSent(): void {
    this.accept(this.#sent);
  }

  /** A new connection is open, and the session has accepted this many bytes in all: later bytes are sent again. */
  rewind(total: number): void {
    this.accept(total);
    this.#sent = this.#accepted;
    this.#endSent = false;
  }

  /** Frames to send now. */
  *next(): Generator<Uint8Array<ArrayBuffer>> {
    for (const piece of this.#pieces) {
      if (endOf(piece) <= this.#sent) continue;
      const room = this.#accepted + mostOnTheWay - this.#sent;
      if (room <= 0) return;
      const part = piece.data.subarray(this.#sent - piece.start).subarray(0, room);
      this.#sent += part.byteLength;
      yield* inputFrames(part);
    }
    if (!this.#ended || this.#endSent || this.#sent < this.#queued) return;
    this.#endSent = true;
    yield endOfInputFrame();
    for (const waiter of this.#endWaiters.splice(0)) waiter.resolve();
  }

  /** Nothing can be sent any more: waiting and later callers get the error. */
  fail(error: OpenComputerError): void {
    this.#failure ??= error;
    this.#pieces = [];
    const waiters = [...this.#waiters.splice(0), ...this.#endWaiters.splice(0)];
    for (const waiter of waiters) waiter.reject(this.#failure);
  }

  #acceptanceOf(position: number): Promise<void> {
    if (position <= this.#accepted) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ position, resolve, reject }));
  }
}

function endOf(piece: Piece): number {
  return piece.start + piece.data.byteLength;
}
