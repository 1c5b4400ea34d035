import type { Duplex } from 'node:stream';
import {
  GuestFrameParser,
  guestPayloadBytes,
  BrokenFrame,
  encodeGuestFrame,
  encodeCounter,
  frameTypes,
  readSessionFrame,
  type SessionFrame,
} from '@opencomputer/protocol';
import type { InputQueue } from './input.ts';

/**
 * Most frames that are handled before others have their turn. Each becomes a message to a client: a guest that sends them
 * tiny would hold everybody up with no more than a chunk.
 */
const turnFrames = 256;
const nothing = Buffer.alloc(0);

/** A connection to a session, by way of the worker. */
export class Upstream {
  readonly #socket: Duplex;
  readonly #parser = new GuestFrameParser();
  #writable = true;
  #input: InputQueue | undefined;
  /** Set once the session has said how much input it has. */
  #accepting = false;
  #frames: (frames: readonly SessionFrame[]) => void = () => undefined;
  #paused = false;
  /** Frames that have come wait for their turn. */
  #waiting = false;
  #next: NodeJS.Immediate | undefined;
  #closed = false;
  #ended: () => void = () => undefined;

  constructor(socket: Duplex) {
    this.#socket = socket;
    // How it ended is told by the frames that came, or did not.
    socket.on('error', () => socket.destroy());
    socket.on('drain', () => {
      this.#writable = true;
      this.send();
    });
  }

  /**
   * Takes the frames of the session until the connection ends, and sends it what is in `input`.
   * @param frames Called with the frames of one chunk, for which there may be none that are known.
   */
  follow(input: InputQueue, frames: (frames: readonly SessionFrame[]) => void): Promise<void> {
    this.#input = input;
    this.#frames = frames;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = resolve;
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#socket.once('end', () => this.#socket.destroy());
    this.#socket.once('close', () => {
      if (!this.#waiting || this.#paused) this.#stop();
    });
    if (this.#socket.destroyed) resolve();
    return promise;
  }

  /** Handles frames of a chunk, and of the one before where it is empty; what is left waits for the next turn. */
  #take(chunk: Buffer): void {
    try {
      this.#frames(this.#read(chunk));
    } catch (error) {
      if (!(error instanceof BrokenFrame)) throw error;
      this.close();
    }
    this.#waiting = this.#parser.hasMore && !this.#closed;
    if (this.#waiting) this.#takeMoreLater();
    else if (this.#socket.destroyed) this.#stop();
    this.#flow();
  }

  #takeMoreLater(): void {
    if (this.#next !== undefined) return;
    this.#next = setImmediate(() => {
      this.#next = undefined;
      if (this.#waiting && !this.#paused) this.#take(nothing);
    });
  }

  #flow(): void {
    if (this.#paused || this.#waiting) this.#socket.pause();
    else this.#socket.resume();
  }

  #stop(): void {
    this.#waiting = false;
    this.#ended();
  }

  #read(chunk: Buffer): SessionFrame[] {
    const known: SessionFrame[] = [];
    for (const { type, payload } of this.#parser.push(chunk, turnFrames)) {
      const frame = readSessionFrame(type, payload);
      if (frame === undefined) continue;
      known.push(frame);
      if (frame.type !== 'accepted') continue;
      if (this.#accepting) this.#input?.acknowledge(frame.bytes);
      else this.#input?.restart(frame.bytes);
      this.#accepting = true;
      this.send();
    }
    return known;
  }

  /** Sends as much of the input as the connection takes. */
  send(): void {
    const input = this.#input;
    if (input === undefined || !this.#accepting) return;
    while (this.#writable && this.#socket.writable) {
      const part = input.next(guestPayloadBytes);
      if (part !== undefined) this.#writable = this.#socket.write(encodeGuestFrame(frameTypes.stdin, part));
      else if (input.takeEnd()) this.#writable = this.#socket.write(encodeGuestFrame(frameTypes.end));
      else return;
    }
  }

  /** Tells the session up to which offset the client has its output. */
  taken(offset: number): void {
    if (this.#socket.writable)
      this.#writable = this.#socket.write(encodeGuestFrame(frameTypes.taken, encodeCounter(offset)));
  }

  /** Takes no more frames until `resume`. */
  pause(): void {
    this.#paused = true;
    this.#flow();
  }

  resume(): void {
    this.#paused = false;
    if (this.#waiting) this.#takeMoreLater();
    this.#flow();
  }

  /** Ends the connection; frames that wait for their turn are dropped. */
  close(): void {
    this.#closed = true;
    this.#waiting = false;
    this.#socket.destroy();
  }
}
