import type { Upstream } from './upstream.ts';

/**
 * The session is told at once after so many bytes, and otherwise after so many milliseconds. It keeps 1 MiB that was
 * not told, and each telling wakes the guest.
 */
const atOnceBytes = 256 * 1024;
const laterMs = 100;

/** Tells a session how much of its output has left for the client, not for every byte. */
export class Acknowledgement {
  #told = 0;
  #offset = 0;
  #upstream: Upstream | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** All output before `offset`, which came by this connection, has left. */
  note(upstream: Upstream, offset: number | undefined): void {
    if (offset === undefined) return;
    if (this.#upstream !== upstream) this.#told = 0;
    this.#upstream = upstream;
    this.#offset = offset;
    if (offset - this.#told >= atOnceBytes) this.#tell();
    else this.#timer ??= setTimeout(() => this.#tell(), laterMs).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#offset === this.#told) return;
    this.#told = this.#offset;
    this.#upstream?.taken(this.#offset);
  }
}
