import { setTimeout as delay } from 'node:timers/promises';
import { ApiError, type CreateSandbox, newSandboxId, transitions } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';
import type { OperationEngine } from '../operations/engine.ts';
import { addEvent, changeSandbox, countLive, findSandbox } from '../store/sandboxes.ts';
import type { EventTable, SandboxRow, Store } from '../store/tables.ts';
import { CreationAbandoned } from './create.ts';
import type { IdleClock } from './idle-clock.ts';

export interface SandboxServiceOptions {
  readonly store: Store;
  readonly engine: OperationEngine;
  readonly idle: IdleClock;
  readonly log: Log;
  /** Live sandboxes that one owner may have. */
  readonly maxSandboxes: number;
  /** Compares what should run with what does. */
  readonly reconcile: () => Promise<void>;
  /** Milliseconds that a client waits for the machine to be gone; the stop goes on afterwards. */
  readonly stopWaitMs?: number;
}

/** Errors that a sandbox which has just ended explains better. */
const explicable = new Set([
  'sandbox_not_found',
  'not_found',
  'sandbox_stopped',
  'worker_unavailable',
  'guest_failed',
  'guest_timeout',
  'conflict',
]);

/** Errors of a creation that a client is told as they are; others become `creation_failed`. */
const creationErrors = new Set([
  'invalid_request',
  'template_not_found',
  'too_many_sandboxes',
  'no_capacity',
  'no_space',
  'creation_failed',
  'worker_unavailable',
  'shutting_down',
]);

/** The life of sandboxes. Everything is in the name of an owner; what belongs to others is not found. */
export class SandboxService {
  readonly #options: SandboxServiceOptions;

  constructor(options: SandboxServiceOptions) {
    this.#options = options;
  }

  /**
   * Creates a sandbox and waits until it takes commands. When `clientGone` is aborted it is undone, since nobody
   * would know its id.
   * @throws ApiError `too_many_sandboxes`, `template_not_found`, `no_capacity`, `creation_failed`, `worker_unavailable`.
   */
  async create(owner: string, request: CreateSandbox, clientGone: AbortSignal): Promise<SandboxRow> {
    const { engine, idle } = this.#options;
    const id = await this.#freeId();
    const abandoned = new CreationAbandoned('the client went away before it was created');
    const cancel = (): void => engine.cancel(id, abandoned);
    clientGone.addEventListener('abort', cancel, { once: true });
    try {
      await engine.submit('create', id, {}, async (tx) => {
        await this.#insert(tx, id, owner, request);
        return true;
      });
    } catch (error) {
      throw toCreationError(error);
    } finally {
      clientGone.removeEventListener('abort', cancel);
    }
    idle.watch(id, request.timeout);
    if (clientGone.aborted) {
      await this.#stop(id, 'system', abandoned.message);
      throw abandoned;
    }
    return this.get(owner, id);
  }

  /** @throws ApiError `sandbox_not_found`. */
  async get(owner: string | undefined, id: string): Promise<SandboxRow> {
    const row = await findSandbox(this.#options.store, id);
    if (row === undefined || (owner !== undefined && row.owner !== owner))
      throw new ApiError('sandbox_not_found', `sandbox ${id.slice(0, 64)} not found`);
    return row;
  }

  /**
   * Does something with the machine of a sandbox; the idle clock stands still meanwhile.
   * @param owner Undefined where something else than a key has authorized the request.
   * @throws ApiError `sandbox_not_found`, `sandbox_stopped`, and what `work` throws.
   */
  async withMachine<T>(
    owner: string | undefined,
    id: string,
    work: (row: SandboxRow) => Promise<T>,
  ): Promise<T> {
    const row = await this.get(owner, id);
    refuseUnless(row, 'use');
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
    await this.get(owner, id);
    await store.transaction().execute(async (tx) => {
      const row = await findSandbox(tx, id);
      if (row === undefined) throw new ApiError('sandbox_not_found', `sandbox ${id} not found`);
      refuseUnless(row, 'setTimeout');
      await tx
        .updateTable('sandboxes')
        .set({ timeout_s: seconds, last_active_at: Date.now() })
        .where('id', '=', id)
        .execute();
      await addEvent(tx, { sandbox_id: id, kind: 'setTimeout', actor: 'client', reason: `${seconds} s` });
    });
    idle.watch(id, seconds);
  }

  /** Stops a sandbox and deletes its disk. Done once the intent is kept and the machine is gone, or a wait is over. */
  async kill(owner: string, id: string): Promise<void> {
    const row = await this.get(owner, id);
    if (row.state === 'stopped') return;
    const stopped = this.#stop(id, 'client', 'killed by the client').catch((error: unknown) => {
      this.#options.log.warn({ err: error, sandboxId: id }, 'stop not finished');
      throw error;
    });
    const waited = new AbortController();
    const patience = delay(this.#options.stopWaitMs ?? 10_000, undefined, { signal: waited.signal });
    const settled = stopped.finally(() => waited.abort());
    await Promise.race([settled, patience.catch(() => settled)]);
  }

  /** Stops a sandbox that is still idle. */
  async expire(id: string): Promise<void> {
    const { idle } = this.#options;
    const row = await findSandbox(this.#options.store, id);
    if (row === undefined) return idle.forget(id);
    await this.#stop(id, 'system', `idle for ${row.timeout_s} s`, () => idle.expired(id));
  }

  async #stop(
    id: string,
    actor: EventTable['actor'],
    reason: string,
    stillWanted: () => boolean = () => true,
  ): Promise<void> {
    const { engine, idle } = this.#options;
    engine.cancel(id, new CreationAbandoned(reason));
    await engine.submit('stop', id, { actor }, async (tx) => {
      const row = await findSandbox(tx, id);
      if (row === undefined || row.state === 'stopped' || !stillWanted()) return false;
      await changeSandbox(tx, id, { action: 'stop', actor, reason });
      idle.forget(id);
      return true;
    });
  }

  async #freeId(): Promise<string> {
    for (;;) {
      const id = newSandboxId();
      if ((await findSandbox(this.#options.store, id)) === undefined) return id;
    }
  }

  async #insert(tx: Store, id: string, owner: string, request: CreateSandbox): Promise<void> {
    const limit = this.#options.maxSandboxes;
    const active = await countLive(tx, owner);
    if (active >= limit)
      throw new ApiError('too_many_sandboxes', `${active} sandboxes are live, ${limit} are allowed`, {
        details: { active, limit },
      });
    const now = Date.now();
    await tx
      .insertInto('sandboxes')
      .values({
        id,
        owner,
        state: 'creating',
        reason: null,
        template: request.templateID === 'default' ? 'base' : request.templateID,
        cpu_count: request.cpuCount,
        memory_mb: request.memoryMB,
        disk_mb: request.diskMB,
        envs: JSON.stringify(request.envs),
        metadata: JSON.stringify(request.metadata),
        timeout_s: request.timeout,
        created_at: now,
        started_at: null,
        last_active_at: now,
        stopped_at: null,
        worker_id: '',
        emulated: 0,
      })
      .execute();
    await addEvent(tx, { sandbox_id: id, kind: 'create', actor: 'client' });
  }

  /** Says that the sandbox has ended where that is why something failed. */
  async #explain(row: SandboxRow, error: unknown): Promise<unknown> {
    if (!(error instanceof ApiError) || !explicable.has(error.code)) return error;
    // The worker knows better than the database: the sandbox has no machine, or a dead one.
    const machineMissing = ['sandbox_not_found', 'not_found', 'sandbox_stopped'].includes(error.code);
    if (machineMissing) await this.#options.reconcile();
    const now = await this.get(row.owner, row.id);
    const transition = transitions[now.state].use;
    if ('refuse' in transition) return refusal(now, 'use');
    if (!machineMissing) return error;
    return new ApiError(
      'worker_unavailable',
      `the worker does not know the machine of ${row.id} at the moment`,
    );
  }
}

function refusal(row: SandboxRow, action: 'use' | 'setTimeout'): ApiError | undefined {
  const transition = transitions[row.state][action];
  if (!('refuse' in transition)) return undefined;
  if (transition.refuse !== 'sandbox_stopped')
    return new ApiError(transition.refuse, `sandbox ${row.id}: ${transition.because}`);
  const status = row.state === 'error' ? 'error' : 'stopped';
  const because = row.reason === null ? '' : ` (${row.reason})`;
  return new ApiError('sandbox_stopped', `sandbox ${row.id} is ${status}${because}`);
}

function refuseUnless(row: SandboxRow, action: 'use' | 'setTimeout'): void {
  const error = refusal(row, action);
  if (error !== undefined) throw error;
}

function toCreationError(error: unknown): unknown {
  if (!(error instanceof ApiError) || creationErrors.has(error.code)) return error;
  return new ApiError('creation_failed', error.message, { cause: error });
}
