import type { ClientHttp2Session } from 'node:http2';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  guestPaths,
  guestProtocol,
  ApiError,
  type HandshakeAnswer,
  handshakeAnswerSchema,
  type HandshakeRequest,
  type Identity,
} from '@opencomputer/protocol';
import { Heartbeat, type HeartbeatOptions } from './heartbeat.ts';
import { callJson } from './request.ts';
import { endConnection, openConnection } from './connection.ts';

export interface ChannelOptions {
  /** Unix socket of the machine's guest agent port. */
  socketPath: string;
  /** What every handshake sends to the guest: made anew each time, since clock and entropy are part of it. */
  identity: () => Identity | undefined;
  /** Prepares the guest after each handshake, before any other call. */
  prepare?: (session: ClientHttp2Session, agent: HandshakeAnswer) => Promise<void>;
  /** How long a handshake that sets the guest's clock may take, in milliseconds, before it is set again; default 25. */
  clockSlackMs?: number;
  /** How it finds out that the guest agent has died. */
  heartbeat?: HeartbeatOptions;
}

const clockSlackMs = 25;
/** How often the clock is set again at most, on a slow host. */
const clockTries = 3;
/** The shortest time limit of a handshake that sets the clock again, in milliseconds. */
const repeatMs = 5_000;

/**
 * First wait for a handshake, in milliseconds. Guest agents before `keepsHandshakes` sometimes lose one, and it is
 * harmless to send it twice; later tries wait longer. A newer guest agent that does not answer is only slow, and each
 * further try would make it begin again.
 */
const firstTryMs = { unknown: 500, keepsHandshakes: 5_000 };
const keepsHandshakes = 4;

/** Pause after the first failed try, so that the guest notices the hang-up; each later pause is twice as long. */
const firstPauseMs = 20;
const longestPauseMs = 500;

/**
 * The host's end of the channel to one guest agent. It connects when it is needed, and again after it broke; every
 * connection begins with a handshake that carries a fresh epoch and the identity.
 */
export class GuestChannel {
  readonly #options: ChannelOptions;
  #session: ClientHttp2Session | undefined;
  /** A connection that has not completed its handshake. */
  #opening: ClientHttp2Session | undefined;
  #connecting: Promise<ClientHttp2Session> | undefined;
  #answer: HandshakeAnswer | undefined;
  #answeredAt = 0;
  #closed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /** What the guest agent reported of itself at the last handshake. */
  get agent(): HandshakeAnswer | undefined {
    return this.#answer;
  }

  /** How long the guest agent of this connection has run at least, in milliseconds; 0 when it does not say. */
  get agentUptimeMs(): number {
    const uptimeMs = this.#answer?.agentUptimeMs;
    return uptimeMs === undefined ? 0 : uptimeMs + (performance.now() - this.#answeredAt);
  }

  get #firstTryMs(): number {
    const generation = this.#answer?.generation ?? 0;
    return generation >= keepsHandshakes ? firstTryMs.keepsHandshakes : firstTryMs.unknown;
  }

  /**
   * A connection that has completed its handshake.
   * @param deadlineMs how long to try in all, in milliseconds
   * @param tryMs wait of the first try; later ones wait twice as long each
   */
  async session(deadlineMs = 30_000, tryMs = this.#firstTryMs): Promise<ClientHttp2Session> {
    if (this.#closed) throw new ApiError('guest_failed', 'the channel to the guest is closed');
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed)
      return this.#session;
    this.#connecting ??= this.#connect(deadlineMs, tryMs).finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(deadlineMs: number, tryMs: number): Promise<ClientHttp2Session> {
    const end = Date.now() + deadlineMs;
    // An HTTP/2 session that closes gracefully may keep its connection for ever, and the port serves one at a time.
    this.hangUp();
    let failure: unknown;
    let pause = firstPauseMs;
    for (let wait = tryMs; ; wait *= 2) {
      try {
        return await this.#handshake(Math.max(1, Math.min(wait, end - Date.now())));
      } catch (error) {
        // The error of a try that the deadline cut short says less than the one before.
        if (failure === undefined || !isTimeout(error)) failure = error;
        if (this.#closed || Date.now() + pause >= end) throw failure;
      }
      await delay(pause);
      pause = Math.min(pause * 2, longestPauseMs);
    }
  }

  async #handshake(timeoutMs: number): Promise<ClientHttp2Session> {
    const started = Date.now();
    const session = await openConnection(this.#options.socketPath, AbortSignal.timeout(timeoutMs));
    this.#opening = session;
    try {
      if (this.#closed) throw new ApiError('guest_failed', 'the channel to the guest is closed');
      const identity = this.#options.identity();
      const body: HandshakeRequest = {
        protocol: guestProtocol,
        epoch: randomBytes(16).toString('hex'),
        ...(identity === undefined ? {} : { identity }),
      };
      const left = (): number => Math.max(1, timeoutMs - (Date.now() - started));
      const asked = performance.now();
      const answer = await shakeHands(session, body, left());
      // A guest that has answered once is only slow: the repetitions do not count against the try.
      const again = (): number => Math.max(repeatMs, left());
      if (identity?.clockUnixNs !== undefined) await this.#setClock(session, body, asked, again);
      await this.#options.prepare?.(session, answer);
      if (this.#closed) throw new ApiError('guest_failed', 'the channel to the guest is closed');
      this.#answer = answer;
      this.#answeredAt = performance.now();
      Heartbeat.start(session, this.#options.heartbeat ?? {});
      this.#session = session;
      return session;
    } catch (error) {
      endConnection(session);
      throw error;
    } finally {
      this.#opening = undefined;
    }
  }

  /**
   * Sets the guest's clock again as long as that takes too long. The first handshake waits in the port until the
   * machine runs, and its time is out of date by then.
   */
  async #setClock(
    session: ClientHttp2Session,
    body: HandshakeRequest,
    askedAt: number,
    leftMs: () => number,
  ): Promise<void> {
    const slackMs = this.#options.clockSlackMs ?? clockSlackMs;
    let asked = askedAt;
    for (let tries = 0; tries < clockTries && performance.now() - asked > slackMs; tries++) {
      asked = performance.now();
      const clockUnixNs = this.#options.identity()?.clockUnixNs ?? '';
      await shakeHands(session, { ...body, identity: { clockUnixNs } }, leftMs());
    }
  }

  /** The guest has closed its end of the port, now or a moment ago: asks whether it is still there. */
  guestLetGo(): void {
    if (this.#session !== undefined) Heartbeat.of(this.#session)?.suspect();
  }

  /** Hangs up; the next call connects again. */
  hangUp(): void {
    if (this.#session !== undefined) endConnection(this.#session);
    this.#session = undefined;
  }

  /** Hangs up for good. */
  close(): void {
    this.#closed = true;
    this.hangUp();
    if (this.#opening !== undefined) endConnection(this.#opening);
  }
}

async function shakeHands(
  session: ClientHttp2Session,
  body: HandshakeRequest,
  deadlineMs: number,
): Promise<HandshakeAnswer> {
  const answer = await callJson(session, 'POST', guestPaths.handshake, handshakeAnswerSchema, {
    body,
    deadlineMs,
    answerBytes: 16 * 1024,
  });
  if (answer.epoch !== body.epoch) throw new ApiError('guest_failed', 'the guest answered another handshake');
  return answer;
}

function isTimeout(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'guest_timeout';
}
