import { randomBytes } from 'node:crypto';
import { refusal } from '../store/sandboxes.ts';
import type { IdleClock } from '../sandboxes/idle-clock.ts';
import type { Machines } from '../sandboxes/machines.ts';
import type { SandboxService } from '../sandboxes/service.ts';
import type { SessionPlace } from './bridge.ts';
import { ClosedByPlatform } from '../sockets/close-codes.ts';
import { Upstream } from './upstream.ts';

/** How long a bridge waits at most for news of its sandbox before it looks for itself. */
const lookMs = 15_000;

/** A name for a writer of ours, so that a session knows it again. */
export function newWriter(): string {
  return `server-${randomBytes(8).toString('hex')}`;
}

export interface AttachingParts {
  readonly sandboxes: SandboxService;
  readonly machines: Machines;
  readonly idle: IdleClock;
}

/** A session in a sandbox, as a client of one owner finds it again and again. */
export class AttachedSession implements SessionPlace {
  readonly #parts: AttachingParts;
  readonly #owner: string;
  readonly #sandboxId: string;
  readonly #sessionId: string;
  readonly #writer: string;

  constructor(
    parts: AttachingParts,
    owner: string,
    sandboxId: string,
    sessionId: string,
    writer = newWriter(),
  ) {
    this.#parts = parts;
    this.#owner = owner;
    this.#sandboxId = sandboxId;
    this.#sessionId = sessionId;
    this.#writer = writer;
  }

  async attach(from: string | undefined, wake: boolean): Promise<Upstream> {
    const { sandboxes, machines } = this.#parts;
    const query = new URLSearchParams({
      ...(from === undefined ? {} : { from }),
      client: this.#writer,
      acks: 'true',
    });
    const open = async (): Promise<Upstream> =>
      new Upstream(await machines.attach(this.#sandboxId, this.#sessionId, query, wake));
    const row = await sandboxes.get(this.#owner, this.#sandboxId);
    if (row.state === 'stopping' || row.state === 'stopped')
      throw new ClosedByPlatform(1001, 'the sandbox was deleted');
    if (wake || row.state === 'running')
      return wake ? sandboxes.withMachine(this.#owner, this.#sandboxId, open) : open();
    const refused = refusal(row, 'use');
    if (refused !== undefined) throw refused;
    return open();
  }

  async changed(signal: AbortSignal): Promise<void> {
    const { changes } = this.#parts.idle;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, lookMs);
    const heard = (): void => resolve();
    changes.once(this.#sandboxId, heard);
    signal.addEventListener('abort', heard, { once: true });
    if (signal.aborted) resolve();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      changes.off(this.#sandboxId, heard);
      signal.removeEventListener('abort', heard);
    }
  }

  used(): void {
    this.#parts.idle.touch(this.#sandboxId);
  }
}
