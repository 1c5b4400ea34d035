import { ApiError, newSandboxId } from '@opencomputer/protocol';
import type { OperationEngine } from '../operations/engine.ts';
import { addEvent } from '../store/events.ts';
import { findSandbox, insertSandbox } from '../store/sandboxes.ts';
import type { SandboxRow, Store } from '../store/tables.ts';
import { CreationAbandoned } from './abandoned.ts';
import type { IdleClock } from './idle-clock.ts';
import type { Quota } from './quota.ts';

/** Errors of a creation that a client is told as they are; others become `creation_failed`. */
const creationErrors = new Set([
  'invalid_request',
  'template_not_found',
  'checkpoint_not_found',
  'too_many_sandboxes',
  'no_capacity',
  'no_space',
  'creation_failed',
  'worker_unavailable',
  'shutting_down',
]);

/** What a new sandbox is to be. */
export interface NewSandbox {
  readonly owner: string;
  readonly template: string;
  readonly cpuCount: number;
  readonly memoryMB: number;
  readonly diskMB: number;
  readonly envs: Record<string, string>;
  readonly metadata: Record<string, string>;
  readonly timeout: number;
  /** The checkpoint that it is forked from. */
  readonly checkpointId?: string;
  /** Names the forks of one call, until all of them stand. */
  readonly forkGroup?: string | undefined;
}

export interface CreationOptions {
  readonly store: Store;
  readonly engine: OperationEngine;
  readonly idle: IdleClock;
  readonly quota: Quota;
  /** Ends a sandbox that nobody wants any more. */
  readonly abandon: (id: string, reason: string) => Promise<void>;
}

/** Makes sandboxes, from templates and from checkpoints. */
export class Creation {
  readonly #options: CreationOptions;

  constructor(options: CreationOptions) {
    this.#options = options;
  }

  /**
   * Creates a sandbox and waits until it takes commands. When `clientGone` is aborted it is undone, since nobody
   * would know its id.
   * @throws ApiError `too_many_sandboxes`, `template_not_found`, `checkpoint_not_found`, `no_capacity`,
   *   `creation_failed`, `worker_unavailable`.
   */
  async create(sandbox: NewSandbox, clientGone: AbortSignal): Promise<SandboxRow> {
    const { engine, idle, store, abandon } = this.#options;
    const id = await this.#freeId();
    const abandoned = new CreationAbandoned('the client went away before it was created');
    const cancel = (): void => engine.cancel(id, abandoned);
    clientGone.addEventListener('abort', cancel, { once: true });
    try {
      await engine.submit(sandbox.checkpointId === undefined ? 'create' : 'fork', id, {}, async (tx) => {
        if (clientGone.aborted) throw abandoned;
        await this.#insert(tx, id, sandbox);
        return true;
      });
    } catch (error) {
      throw toCreationError(error);
    } finally {
      clientGone.removeEventListener('abort', cancel);
    }
    idle.watch(id, sandbox.timeout);
    if (clientGone.aborted) {
      await abandon(id, abandoned.message);
      throw abandoned;
    }
    const row = await findSandbox(store, id);
    if (row === undefined) throw new ApiError('sandbox_not_found', `sandbox ${id} not found`);
    return row;
  }

  async #freeId(): Promise<string> {
    for (;;) {
      const id = newSandboxId();
      if ((await findSandbox(this.#options.store, id)) === undefined) return id;
    }
  }

  async #insert(tx: Store, id: string, sandbox: NewSandbox): Promise<void> {
    await this.#options.quota.requireRoom(tx, sandbox.owner);
    const now = Date.now();
    const checkpointId = sandbox.checkpointId ?? null;
    await insertSandbox(tx, {
      id,
      owner: sandbox.owner,
      state: 'creating',
      reason: null,
      template: sandbox.template,
      cpu_count: sandbox.cpuCount,
      memory_mb: sandbox.memoryMB,
      disk_mb: sandbox.diskMB,
      envs: JSON.stringify(sandbox.envs),
      metadata: JSON.stringify(sandbox.metadata),
      timeout_s: sandbox.timeout,
      created_at: now,
      started_at: null,
      last_active_at: now,
      stopped_at: null,
      worker_id: '',
      emulated: 0,
      hibernated_at: null,
      started_from: null,
      cold_boot_reason: null,
      patch_error: null,
      from_checkpoint_id: checkpointId,
      base_checkpoint_id: checkpointId,
      fork_group: sandbox.forkGroup ?? null,
    });
    const [kind, reason] =
      checkpointId === null ? ['create', undefined] : ['fork', `from checkpoint ${checkpointId}`];
    await addEvent(tx, { sandbox_id: id, kind, actor: 'client', reason });
  }
}

function toCreationError(error: unknown): unknown {
  if (!(error instanceof ApiError) || creationErrors.has(error.code)) return error;
  return new ApiError('creation_failed', error.message, { cause: error });
}
