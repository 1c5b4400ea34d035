import { setTimeout as delay } from 'node:timers/promises';
import { ApiError, readClientMessage, type SessionFrame } from '@opencomputer/protocol';
import { isHibernated } from '../store/sandboxes.ts';
import { Acknowledgement } from './acknowledgement.ts';
import { ClosedByPlatform, closeOf } from '../sockets/close-codes.ts';
import type { ClientSocket } from '../sockets/client.ts';
import { InputQueue } from './input.ts';
import type { OutputForm } from './output.ts';
import type { Upstream } from './upstream.ts';

/** Pauses between attempts to reach a session again. */
const firstPauseMs = 50;
const longestPauseMs = 2000;
/** How long a session may be out of reach for reasons that are the guest's. */
const patienceMs = 90_000;
/** Input that came so shortly before the sandbox hibernated wakes it again. */
const recentMs = 2000;
/** How long input that was sent before the client left may take to be taken. */
const lingerMs = 10_000;

/** Where a bridge finds its session. */
export interface SessionPlace {
  /**
   * Attaches again. `wake`: wakes the sandbox if it is hibernated; otherwise that is a refusal.
   * @throws ApiError
   */
  attach(from: string, wake: boolean): Promise<Upstream>;
  /** Settles when the sandbox may have begun or ended to run, or the signal is aborted. */
  changed(signal: AbortSignal): Promise<void>;
  /** A message went by. */
  used(): void;
}

export interface BridgeOptions {
  readonly client: ClientSocket;
  readonly place: SessionPlace;
  readonly output: OutputForm;
  /** Raw input: every message is input as it is. */
  readonly raw: boolean;
  /** The session reads input. */
  readonly takesInput: boolean;
  /** What it prints is use of the sandbox, as what is sent to it always is. */
  readonly outputIsUse: boolean;
}

/** Joins a client and a session: the client's connection stays whatever happens to the one behind it. */
export class Bridge {
  readonly #options: BridgeOptions;
  readonly #input = new InputQueue();
  /** Settles, and is made anew, when something happens that a dormant bridge should look at. */
  #news = new AbortController();
  #upstream: Upstream | undefined;
  readonly #taken = new Acknowledgement();
  #exited = false;
  /** The client was told that the sandbox hibernates. */
  #toldAsleep = false;
  #lingering: NodeJS.Timeout | undefined;
  #lastMessage = -Infinity;
  /** When the session last gave a sign of life. */
  #lastFrame = performance.now();

  constructor(options: BridgeOptions) {
    this.#options = options;
  }

  /** Runs until the client has gone or the session has ended. @returns the code that the client was closed with */
  async run(first: Upstream): Promise<number> {
    const { client } = this.#options;
    const { promise: closed, resolve } = Promise.withResolvers<number>();
    client.listen({
      message: (data, isBinary) => this.#message(data, isBinary),
      caughtUp: () => this.#upstream?.resume(),
      closed: (code) => {
        this.#news.abort();
        this.#left();
        resolve(code);
      },
    });
    try {
      await this.#carry(first);
    } catch (error) {
      const { code, reason } = closeOf(error);
      client.finish(code, reason);
    } finally {
      clearInterval(this.#lingering);
      this.#taken.stop();
      this.#upstream?.close();
    }
    return closed;
  }

  async #carry(first: Upstream): Promise<void> {
    const { client, raw } = this.#options;
    let upstream: Upstream | undefined = first;
    while (upstream !== undefined) {
      this.#upstream = upstream;
      this.#tellPower(true);
      if (client.behind) upstream.pause();
      if (client.closed) this.#left();
      await upstream.follow(this.#input, (frames) => this.#frames(frames));
      if (this.#exited) return client.finish(1000, raw ? '' : 'exec completed');
      upstream = client.ending ? undefined : await this.#reach();
    }
  }

  /** Tells the client once that the sandbox hibernates, and once that it runs again. */
  #tellPower(awake: boolean): void {
    if (this.#toldAsleep === !awake) return;
    this.#toldAsleep = !awake;
    const { client, output } = this.#options;
    client.send(output.power(awake), () => undefined);
  }

  #frames(frames: readonly SessionFrame[]): void {
    const { client, output, outputIsUse, place } = this.#options;
    this.#lastFrame = performance.now();
    if (outputIsUse && frames.some(({ type }) => type === 'output' || type === 'exit')) place.used();
    this.#exited ||= frames.some(({ type }) => type === 'exit');
    const messages = output.messages(frames);
    const { offset } = output;
    const upstream = this.#upstream;
    client.send(messages, () => upstream !== undefined && this.#taken.note(upstream, offset));
    client.holdBack(this.#input.full);
    if (client.closed) {
      if (this.#input.bytes === 0) this.#upstream?.close();
    } else if (client.behind) this.#upstream?.pause();
  }

  #message(data: Buffer, isBinary: boolean): void {
    const { client, place, raw, takesInput } = this.#options;
    place.used();
    if (!raw && !isBinary) return client.finish(1008, 'messages are binary: a type byte and the payload');
    const message = raw ? ({ type: 'stdin', data } as const) : readClientMessage(data);
    if (message === undefined || data.length === 0) return;
    this.#lastMessage = performance.now();
    if (!takesInput) return client.finish(1008, 'this session takes no input: it was started without');
    if (message.type === 'stdin') this.#input.push(message.data);
    else this.#input.end();
    client.holdBack(this.#input.full);
    this.#upstream?.send();
    this.#news.abort();
  }

  /** The client has left: what it has sent still reaches the session, unless that takes none of it for a while. */
  #left(): void {
    const upstream = this.#upstream;
    if (this.#input.bytes === 0) return upstream?.close();
    upstream?.resume();
    let before = this.#input.bytes;
    clearInterval(this.#lingering);
    this.#lingering = setInterval(() => {
      if (this.#input.bytes === before) upstream?.close();
      before = this.#input.bytes;
    }, lingerMs);
  }

  /** Attaches again, however long that takes; undefined when the client has gone meanwhile. */
  async #reach(): Promise<Upstream | undefined> {
    const { client, place, output } = this.#options;
    this.#upstream = undefined;
    let pauseMs = firstPauseMs;
    let from: string | undefined;
    // Input wakes a sandbox when it comes, not for as long as the session leaves it where it is.
    const recently = performance.now() - recentMs;
    while (!client.ending) {
      this.#news = new AbortController();
      const wake = this.#input.waits && this.#lastMessage > recently;
      try {
        return await place.attach(from ?? output.resumeFrom(), wake);
      } catch (error) {
        if (isHibernated(error)) {
          this.#lastFrame = performance.now();
          if (!wake) this.#tellPower(false);
          if (!wake) await place.changed(this.#news.signal);
          continue;
        }
        if (beyondTheEnd(error) && from === undefined) from = 'end';
        else if (!passing(error)) throw error;
        const gone = performance.now() - this.#lastFrame > patienceMs;
        if (gone && (error as ApiError).code !== 'worker_unavailable') throw error;
      }
      await Promise.race([delay(pauseMs, undefined, { ref: false }), aborted(this.#news.signal)]);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
    return undefined;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** True for a session that was put back to before the offset which the client has reached. */
function beyondTheEnd(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'invalid_request';
}

/** True for what another attempt may not meet again. */
function passing(error: unknown): boolean {
  if (error instanceof ClosedByPlatform || !(error instanceof ApiError)) return false;
  return [
    'worker_unavailable',
    'worker_timeout',
    'guest_failed',
    'guest_timeout',
    'conflict',
    'hibernated',
    'busy',
  ].includes(error.code);
}
