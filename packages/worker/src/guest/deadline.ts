import type { ClientHttp2Session } from 'node:http2';
import { guestExecResultBytes } from '@opencomputer/protocol';
import { Heartbeat } from './heartbeat.ts';

/** What a connection must bring within one deadline for it to begin anew, in bytes: as much as a stream's window. */
const progressBytes = 1024 * 1024;

function bytesRead(session: ClientHttp2Session): number {
  return session.destroyed ? 0 : session.socket.bytesRead;
}

/**
 * The deadline of one answer of a guest. Answers share a connection: one is not late while those beside it are served
 * first. So the deadline begins anew when it passes and the connection has brought something worthwhile meanwhile; unless
 * all that can be served first has come, and still nothing of this answer.
 */
export class AnswerDeadline {
  readonly #session: ClientHttp2Session;
  readonly #ms: number;
  #left: number;
  #startedAt = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Bytes of the connection when the deadline began, or began anew. */
  #begunAt: number;
  /** Bytes of the connection when something of the answer came last. */
  #cameAt: number;
  /** The most calls beside this one since then. */
  #beside = 0;

  /** @param ms how long is waited, in milliseconds, on a connection that brings nothing */
  constructor(session: ClientHttp2Session, ms: number) {
    this.#session = session;
    this.#ms = ms;
    this.#left = ms;
    this.#begunAt = bytesRead(session);
    this.#cameAt = this.#begunAt;
    this.#lookBeside();
  }

  /** Waits from now until `stop`. @param missed called when the deadline has passed */
  start(missed: () => void): void {
    this.#lookBeside();
    this.#startedAt = performance.now();
    // What has come may be unread while this process was busy: it is read before the verdict.
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

  /** Leaves at least so many milliseconds. */
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
