import { ApiError, newSandboxId } from '@opencomputer/protocol';
import { endsWithin } from '../deadline.ts';
import type { Log } from '../observe/log.ts';
import type { OperationEngine } from '../operations/engine.ts';
import { addEvent } from '../store/events.ts';
import { changeSandbox, findSandbox, refusal, updateSandbox } from '../store/sandboxes.ts';
import type { EventTable, SandboxRow, Store } from '../store/tables.ts';
import { transact } from '../store/transaction.ts';
import { chooseWorker } from '../workers/placement.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import { CreationAbandoned } from './abandoned.ts';
import type { IdleClock } from './idle-clock.ts';
import { sandboxSubject } from './subject.ts';
import type { Lifecycle } from './lifecycle.ts';
import { insertNewSandbox, type NewSandbox, toCreationError } from './new-sandbox.ts';
import type { Quota } from './quota.ts';

export interface SandboxServiceOptions {
  readonly store: Store;
  readonly engine: OperationEngine;
  readonly idle: IdleClock;
  readonly log: Log;
  readonly lifecycle: Lifecycle;
  readonly quota: Quota;
  readonly workers: Pick<WorkerRegistry, 'someKnown' | 'connected'>;
  /** Compares what should run on a worker with what does. */
  readonly reconcile: (workerId: string) => Promise<void>;
  /** Milliseconds that a client waits for the machine to be gone; the stop goes on afterwards. */
  readonly stopWaitMs?: number;
}

/** How long a creation waits for the first contact with a worker. */
const firstContactMs = 30_000;

/** Errors that a sandbox which has just ended explains better. */
const explicable = new Set([
  'sandbox_not_found',
  'not_found',
  'sandbox_stopped',
  'worker_unavailable',
  'guest_failed',
  'guest_timeout',
  'worker_timeout',
  'conflict',
  'hibernated',
  'busy',
]);

/** The life of sandboxes. Everything is in the name of an owner; what belongs to others is not found. */
export class SandboxService {
  readonly #options: SandboxServiceOptions;

  constructor(options: SandboxServiceOptions) {
    this.#options = options;
  }

  /**
   * Creates a sandbox, from a template or a checkpoint, and waits until it takes commands. When `clientGone` is aborted
   * it is undone, since nobody would know its id.
   * @throws ApiError `too_many_sandboxes`, `template_not_found`, `checkpoint_not_found`, `no_capacity`,
   *   `creation_failed`, `worker_unavailable`.
   */
  async create(sandbox: NewSandbox, clientGone: AbortSignal): Promise<SandboxRow> {
    const { engine, idle, quota, workers } = this.#options;
    await workers.someKnown(firstContactMs);
    const id = await this.#freeId();
    const abandoned = new CreationAbandoned('the client went away before it was created');
    const cancel = (): void => engine.cancel(sandboxSubject(id), abandoned);
    clientGone.addEventListener('abort', cancel, { once: true });
    try {
      await engine.submit(
        sandbox.checkpointId === undefined ? 'create' : 'fork',
        sandboxSubject(id),
        {},
        async (tx) => {
          if (clientGone.aborted) throw abandoned;
          await quota.requireRoom(tx, sandbox.owner);
          // In the row before anything is made, so that a crash knows where to undo it.
          const workerId = await chooseWorker(tx, sandbox, workers.connected());
          await insertNewSandbox(tx, id, sandbox, workerId);
          return true;
        },
      );
    } catch (error) {
      throw toCreationError(error);
    } finally {
      clientGone.removeEventListener('abort', cancel);
    }
    idle.watch(id, sandbox.timeout);
    if (clientGone.aborted) {
      await this.abandon(id, abandoned.message);
      throw abandoned;
    }
    return this.get(sandbox.owner, id);
  }

  /** @throws ApiError `sandbox_not_found`. */
  async get(owner: string | undefined, id: string): Promise<SandboxRow> {
    const row = await findSandbox(this.#options.store, id);
    if (row === undefined || (owner !== undefined && row.owner !== owner))
      throw new ApiError('sandbox_not_found', `sandbox ${id.slice(0, 64)} not found`);
    return row;
  }

  /**
   * Does something with the machine of a sandbox, which is woken first if it is hibernated; the idle clock stands
   * still meanwhile.
   * @param owner Undefined where something else than a key has authorized the request.
   * @throws ApiError `sandbox_not_found`, `sandbox_stopped`, what a wake throws, and what `work` throws.
   */
  async withMachine<T>(
    owner: string | undefined,
    id: string,
    work: (row: SandboxRow) => Promise<T>,
  ): Promise<T> {
    const row = await this.#options.lifecycle.usable(await this.get(owner, id));
    const release = this.hold(id);
    try {
      return await work(row);
    } catch (error) {
      throw await this.#explain(row, error);
    } finally {
      release();
    }
  }

  /** Keeps the idle clock standing until the returned function is called. */
  hold(id: string): () => void {
    return this.#options.idle.hold(id);
  }

  /** Sets the idle timeout, in seconds, and restarts the clock. @throws ApiError `sandbox_not_found`, `sandbox_stopped`. */
  async setTimeout(owner: string, id: string, seconds: number): Promise<void> {
    const { store, idle } = this.#options;
    await this.#options.lifecycle.usable(await this.get(owner, id));
    await this.#options.lifecycle.whileAwake(id, () =>
      transact(store, async (tx) => {
        const row = await findSandbox(tx, id);
        if (row === undefined) throw new ApiError('sandbox_not_found', `sandbox ${id} not found`);
        const refused = refusal(row, 'setTimeout');
        if (refused !== undefined) throw refused;
        await updateSandbox(tx, id, { timeout_s: seconds, last_active_at: Date.now() });
        await addEvent(tx, { sandbox_id: id, kind: 'setTimeout', actor: 'client', reason: `${seconds} s` });
      }),
    );
    idle.watch(id, seconds);
  }

  /** Stops a sandbox and deletes its disk. Done once the intent is kept and the machine is gone, or a wait is over. */
  async kill(owner: string, id: string): Promise<void> {
    const row = await this.get(owner, id);
    if (row.state === 'stopped') return;
    const begun = Promise.withResolvers<void>();
    const stopped = this.#stop(id, 'client', 'killed by the client', begun.resolve).catch(
      (error: unknown) => {
        this.#options.log.warn({ err: error, sandboxId: id }, 'stop not finished');
        throw error;
      },
    );
    // What may not be cut off, such as a checkpoint, ends before: until then nothing of the stop is kept.
    await Promise.race([begun.promise, stopped]);
    await endsWithin(stopped, this.#options.stopWaitMs ?? 10_000);
  }

  /** Hibernates a sandbox that is still idle. */
  async expire(id: string): Promise<void> {
    const { idle, store } = this.#options;
    const row = await findSandbox(store, id);
    if (row?.state !== 'running') return idle.forget(id);
    const cause = { actor: 'system', reason: `idle for ${row.timeout_s} s` } as const;
    await this.#options.lifecycle.hibernate(id, cause, () => idle.expired(id));
  }

  /** Ends a sandbox that nobody knows of. */
  abandon(id: string, reason: string): Promise<void> {
    return this.#stop(id, 'system', reason);
  }

  async #stop(
    id: string,
    actor: EventTable['actor'],
    reason: string,
    begun: () => void = () => undefined,
  ): Promise<void> {
    const { engine, idle } = this.#options;
    engine.cancel(sandboxSubject(id), new CreationAbandoned(reason));
    await engine.submit(
      'stop',
      sandboxSubject(id),
      { actor },
      async (tx) => {
        const row = await findSandbox(tx, id);
        if (row === undefined || row.state === 'stopped') return false;
        await changeSandbox(tx, id, { action: 'stop', actor, reason });
        idle.forget(id);
        return true;
      },
      { begun },
    );
  }

  async #freeId(): Promise<string> {
    for (;;) {
      const id = newSandboxId();
      if ((await findSandbox(this.#options.store, id)) === undefined) return id;
    }
  }

  /** Says that the sandbox has ended where that is why something failed. */
  async #explain(row: SandboxRow, error: unknown): Promise<unknown> {
    if (!(error instanceof ApiError) || !explicable.has(error.code)) return error;
    // The worker knows better than the database: the sandbox has no machine, or a dead one.
    const machineMissing = ['sandbox_not_found', 'not_found', 'sandbox_stopped'].includes(error.code);
    if (machineMissing) await this.#options.reconcile(row.worker_id);
    const now = await this.get(row.owner, row.id);
    const refused = refusal(now, 'use');
    if (refused?.code === 'sandbox_stopped') return refused;
    if (!machineMissing) return error;
    return new ApiError(
      'worker_unavailable',
      `the worker does not know the machine of ${row.id} at the moment`,
    );
  }
}
