import type { Duplex } from 'node:stream';
import {
  AgentFrameParser,
  agentPayloadBytes,
  BrokenFrame,
  encodeAgentFrame,
  encodeCounter,
  frameTypes,
  readSessionFrame,
  type SessionFrame,
} from '@opencomputer/protocol';
import type { InputQueue } from './input.ts';

/** A connection to a session, by way of the worker. */
export class Upstream {
  readonly #socket: Duplex;
  readonly #parser = new AgentFrameParser();
  #writable = true;
  #input: InputQueue | undefined;
  /** Set once the session has said how much input it has. */
  #accepting = false;

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
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#socket.on('data', (chunk: Buffer) => {
      try {
        frames(this.#read(chunk, input));
      } catch (error) {
        if (!(error instanceof BrokenFrame)) throw error;
        this.#socket.destroy();
      }
    });
    this.#socket.once('end', () => this.#socket.destroy());
    this.#socket.once('close', resolve);
    if (this.#socket.destroyed) resolve();
    return promise;
  }

  #read(chunk: Buffer, input: InputQueue): SessionFrame[] {
    const known: SessionFrame[] = [];
    for (const { type, payload } of this.#parser.push(chunk)) {
      const frame = readSessionFrame(type, payload);
      if (frame === undefined) continue;
      known.push(frame);
      if (frame.type !== 'accepted') continue;
      if (this.#accepting) input.acknowledge(frame.bytes);
      else input.restart(frame.bytes);
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
      const part = input.next(agentPayloadBytes);
      if (part !== undefined) this.#writable = this.#socket.write(encodeAgentFrame(frameTypes.stdin, part));
      else if (input.takeEnd()) this.#writable = this.#socket.write(encodeAgentFrame(frameTypes.end));
      else return;
    }
  }

  /** Tells the session up to which offset the client has its output. */
  taken(offset: number): void {
    if (this.#socket.writable)
      this.#writable = this.#socket.write(encodeAgentFrame(frameTypes.taken, encodeCounter(offset)));
  }

  /** Takes no more frames until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }
}
