import type { ClientHttp2Session } from 'node:http2';
import { guestExecResultBytes } from '@opencomputer/protocol';
import { Heartbeat } from './heartbeat.ts';

/**
 * How much must arrive on a connection within one deadline for the deadline to start again, in bytes: one stream's
 * window.
 */
const progressBytes = 1024 * 1024;

function bytesRead(session: ClientHttp2Session): number {
  return session.destroyed ? 0 : session.socket.bytesRead;
}

/**
 * The deadline of one answer of a guest. Answers share a connection, so one is not late while others are sent first.
 * When the deadline passes and enough has arrived on the connection meanwhile, it starts again; unless everything that
 * can be sent first has arrived, and still nothing of this answer.
 */
export class AnswerDeadline {
  readonly #session: ClientHttp2Session;
  readonly #ms: number;
  #left: number;
  #startedAt = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Bytes received on the connection when the deadline last started. */
  #begunAt: number;
  /** Bytes received on the connection when the newest piece of this answer came. */
  #cameAt: number;
  /** The largest number of other calls under way since then. */
  #beside = 0;

  /** @param ms how long to wait, in milliseconds, on a connection on which nothing arrives */
  constructor(session: ClientHttp2Session, ms: number) {
    this.#session = session;
    this.#ms = ms;
    this.#left = ms;
    this.#begunAt = bytesRead(session);
    this.#cameAt = this.#begunAt;
    this.#lookBeside();
  }

  /** Runs from now until `stop`. @param missed called when the deadline has passed */
  start(missed: () => void): void {
    this.#lookBeside();
    this.#startedAt = performance.now();
    // While this process was busy, data may have arrived that is not read yet: read it before deciding.
    const timer = setTimeout(
      () => setImmediate(() => setImmediate(() => this.#passed(timer, missed))),
      this.#left,
    );
    this.#timer = timer;
  }

  /** Stops the clock until the next `start`. */
  stop(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#left = Math.max(0, this.#left - (performance.now() - this.#startedAt));
  }

  /** Something of the answer has come. */
  came(): void {
    this.#cameAt = bytesRead(this.#session);
    this.#beside = 0;
    this.#lookBeside();
  }

  /** Makes sure that at least this many milliseconds are left. */
  leave(ms: number): void {
    this.#left = Math.max(this.#left, ms);
  }

  #passed(timer: NodeJS.Timeout, missed: () => void): void {
    if (this.#timer !== timer) return;
    this.#lookBeside();
    const bytes = bytesRead(this.#session);
    const progress = bytes - this.#begunAt >= progressBytes;
    const hadItsTurn = bytes - this.#cameAt > this.#beside * guestExecResultBytes;
    if (!progress || hadItsTurn) {
      missed();
      return;
    }
    this.#begunAt = bytes;
    this.#left = this.#ms;
    this.start(missed);
  }

  #lookBeside(): void {
    const calls = Heartbeat.of(this.#session)?.calls ?? 1;
    this.#beside = Math.max(this.#beside, calls - 1);
  }
}
