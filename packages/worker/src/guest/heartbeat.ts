import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { ApiError } from '@opencomputer/protocol';
import { endConnection } from './connection.ts';

export interface HeartbeatOptions {
  /** How often the guest is asked whether it is there while calls wait for it, in milliseconds. Default 5000. */
  everyMs?: number | undefined;
  /** How long the answer may take, in milliseconds. Default 10,000: guests under emulation and load are slow. */
  answerMs?: number | undefined;
  /** The same, where the guest has closed its port. Default 2000. */
  suspectMs?: number | undefined;
  /** Whether the machine is paused and cannot answer: its calls wait then. */
  paused?: (() => boolean) | undefined;
}

const everyMs = 5_000;
const answerMs = 10_000;
const suspectMs = 2_000;

const beats = new WeakMap<ClientHttp2Session, Heartbeat>();

/**
 * Watches the connection to a guest agent. The port of a machine does not close when the guest agent dies, and each
 * call would wait for its own deadline. So the guest is pinged while calls wait, and the connection is ended when no
 * answer comes.
 */
export class Heartbeat {
  readonly #session: ClientHttp2Session;
  readonly #options: HeartbeatOptions;
  #calls = 0;
  #next: NodeJS.Timeout | undefined;
  #asked: NodeJS.Timeout | undefined;

  private constructor(session: ClientHttp2Session, options: HeartbeatOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** Begins to watch a connection; `of` finds it from now on. */
  static start(session: ClientHttp2Session, options: HeartbeatOptions): void {
    const heartbeat = new Heartbeat(session, options);
    beats.set(session, heartbeat);
    session.once('close', () => heartbeat.#stop());
  }

  /** The heartbeat of a connection; undefined before its handshake. */
  static of(session: ClientHttp2Session): Heartbeat | undefined {
    return beats.get(session);
  }

  /** How many calls are under way. */
  get calls(): number {
    return this.#calls;
  }

  /** Asks the guest from time to time until a call has ended. */
  watch(call: ClientHttp2Stream): void {
    this.#calls++;
    call.once('close', () => {
      this.#calls--;
      if (this.#calls === 0) this.#stop();
    });
    this.#schedule();
  }

  /** Asks the guest now, since something suggests that it is gone. */
  suspect(): void {
    this.#ask(this.#options.suspectMs ?? suspectMs);
  }

  #schedule(): void {
    this.#next ??= setTimeout(() => {
      this.#next = undefined;
      this.#ask(this.#options.answerMs ?? answerMs);
    }, this.#options.everyMs ?? everyMs);
    this.#next.unref();
  }

  #ask(withinMs: number): void {
    if (this.#session.destroyed || this.#session.closed) return;
    clearTimeout(this.#asked);
    // While this process was busy, the answer may have arrived without being read: read it before deciding.
    const asked = setTimeout(() => setImmediate(() => setImmediate(() => this.#silent(asked))), withinMs);
    asked.unref();
    this.#asked = asked;
    this.#session.ping((error) => {
      if (error !== null || this.#asked !== asked) return;
      clearTimeout(asked);
      this.#asked = undefined;
      if (this.#calls > 0) this.#schedule();
    });
  }

  #silent(asked: NodeJS.Timeout): void {
    if (this.#asked !== asked) return;
    this.#asked = undefined;
    if (this.#options.paused?.() === true) {
      this.#schedule();
      return;
    }
    endConnection(
      this.#session,
      new ApiError('guest_failed', 'the guest agent of the sandbox does not answer any more', {
        hint: 'It is restarted where it has died, and then knows nothing of the commands that it had started.',
      }),
    );
  }

  #stop(): void {
    clearTimeout(this.#next);
    this.#next = undefined;
    if (this.#session.destroyed) clearTimeout(this.#asked);
  }
}
