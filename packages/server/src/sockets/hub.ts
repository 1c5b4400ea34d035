import { ApiError, limits } from '@opencomputer/protocol';
import type { ClientSocket } from './client.ts';

/** How long clients may take to answer the close when the server stops. */
const partingMs = 2000;

/** All clients that are attached to sessions: their number is bounded, and they are watched for signs of life. */
export class ClientHub {
  readonly #clients = new Set<ClientSocket>();
  /** Sandbox -> clients attached, or about to be. */
  readonly #perSandbox = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #total = 0;

  /** @param lookMs How often it looks whether they live and read. */
  constructor(lookMs: number) {
    this.#timer = setInterval(() => {
      for (const client of this.#clients) client.tick();
    }, lookMs).unref();
  }

  /** How many are attached. */
  get size(): number {
    return this.#clients.size;
  }

  /**
   * Makes room for one more client of a sandbox.
   * @returns gives the room back; call it once
   * @throws ApiError `too_many_commands`
   */
  admit(sandboxId: string): () => void {
    const here = this.#perSandbox.get(sandboxId) ?? 0;
    if (here >= limits.attachedPerSandbox)
      throw new ApiError(
        'too_many_commands',
        `${here} clients are attached in this sandbox, the most there may be`,
      );
    if (this.#total >= limits.attachedClients)
      throw new ApiError('too_many_commands', `${this.#total} clients are attached, the most there may be`);
    this.#perSandbox.set(sandboxId, here + 1);
    this.#total += 1;
    return () => {
      const left = (this.#perSandbox.get(sandboxId) ?? 1) - 1;
      if (left === 0) this.#perSandbox.delete(sandboxId);
      else this.#perSandbox.set(sandboxId, left);
      this.#total -= 1;
    };
  }

  add(client: ClientSocket): void {
    this.#clients.add(client);
  }

  remove(client: ClientSocket): void {
    this.#clients.delete(client);
  }

  /** Tells every client that the server stops, and breaks off those that do not answer. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    for (const client of this.#clients) client.breakOff(1012, 'the server is stopping: connect again');
    const end = Date.now() + partingMs;
    while (this.#clients.size > 0 && Date.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 10));
    for (const client of this.#clients) client.terminate();
  }
}
