import { randomUUID } from 'node:crypto';
import { ApiError, checkpointLimit, type CreateCheckpoint, type SnapshotKind } from '@opencomputer/protocol';
import { endsWithin } from '../deadline.ts';
import type { Log } from '../observe/log.ts';
import type { OperationEngine } from '../operations/engine.ts';
import type { Lifecycle } from '../sandboxes/lifecycle.ts';
import type { SandboxService } from '../sandboxes/service.ts';
import { sandboxSubject } from '../sandboxes/subject.ts';
import {
  checkpointNameTaken,
  countedCheckpoints,
  findCheckpoint,
  insertCheckpoint,
  namelessCheckpoints,
  nextCheckpointTime,
  pruneFailedCheckpoints,
  updateCheckpoint,
} from '../store/checkpoints.ts';
import type { CheckpointRow, SandboxRow, Store } from '../store/tables.ts';

/** How long a call waits for a checkpoint to be ready before it answers `processing`. */
const answerMs = 20_000;
/** How long a fork or a restore waits for a checkpoint that is being written. */
const readyMs = 120_000;
const deleteAnswerMs = 10_000;
/** Failed checkpoints of one sandbox that are kept to be read. */
const failedKept = 10;

const limitSettings: Readonly<Record<SnapshotKind, string>> = {
  full: 'OPENCOMPUTER_MAX_CHECKPOINTS_FULL',
  disk_only: 'OPENCOMPUTER_MAX_CHECKPOINTS_DISK_ONLY',
};

export interface CheckpointServiceOptions {
  readonly store: Store;
  readonly engine: OperationEngine;
  readonly sandboxes: SandboxService;
  readonly lifecycle: Lifecycle;
  readonly log: Log;
  readonly answerMs?: number;
  /** How many one sandbox may have, by kind. */
  readonly limits?: Readonly<Record<SnapshotKind, number>>;
}

/** What a checkpoint is taken as. */
export interface CheckpointRequest {
  /** Null for one that is made for a call only. */
  readonly name: string | null;
  readonly kind: SnapshotKind;
  /** How many of its kind are left once it is ready, the oldest going first; undefined: a full house is refused. */
  readonly keep?: number | undefined;
  /** Whether a guest that does not come to rest makes it fail. */
  readonly requireQuiesced?: boolean | undefined;
}

/** Checkpoints. Everything is in the name of an owner; what belongs to others, and is not public, is not found. */
export class CheckpointService {
  readonly #options: CheckpointServiceOptions;

  constructor(options: CheckpointServiceOptions) {
    this.#options = options;
  }

  /**
   * Takes a checkpoint of a sandbox, which is woken if it is hibernated.
   * @returns The row once it is ready, or as it is after 20 s.
   * @throws ApiError `name_taken`, `too_many_checkpoints`, `sandbox_stopped`, `snapshot_failed`, `no_space`.
   */
  async create(owner: string, sandboxId: string, request: CreateCheckpoint): Promise<CheckpointRow> {
    const { name, promoteToFull, retentionPolicy, requireQuiesced } = request;
    const kind = promoteToFull ? 'full' : request.kind;
    const keep =
      retentionPolicy?.mode === 'delete_oldest' ? (retentionPolicy.maxCount ?? this.#limit(kind)) : undefined;
    if (keep !== undefined && keep > this.#limit(kind))
      throw new ApiError(
        'invalid_request',
        `retentionPolicy.maxCount: must not exceed ${this.#limit(kind)} for checkpoints of kind ${kind}`,
      );
    const sandbox = await this.#options.sandboxes.get(owner, sandboxId);
    const { id, ended } = await this.begin(sandbox, { name, kind, keep, requireQuiesced });
    await endsWithin(ended, this.#options.answerMs ?? answerMs);
    return this.#row(id);
  }

  /** Begins to take a checkpoint: its row is there. `ended` is settled when it is ready or has failed. */
  async begin(
    sandbox: SandboxRow,
    request: CheckpointRequest,
  ): Promise<{ id: string; ended: Promise<void> }> {
    const { lifecycle } = this.#options;
    const id = randomUUID();
    const begun = Promise.withResolvers<void>();
    const ended = lifecycle
      .whileAwake(sandbox.id, () =>
        lifecycle.submit(
          'checkpoint',
          'checkpoint',
          sandbox.id,
          { checkpointId: id, kind: request.kind, requireQuiesced: request.requireQuiesced },
          async (tx, row) => {
            await this.#insert(tx, id, row, request);
            return true;
          },
          begun.resolve,
        ),
      )
      .then(() => this.#makeRoom(sandbox.id, request));
    ended.catch((error: unknown) => {
      this.#options.log.warn({ err: error, sandboxId: sandbox.id, checkpointId: id }, 'checkpoint not taken');
    });
    await Promise.race([begun.promise, ended]);
    return { id, ended };
  }

  /** A checkpoint that an owner may fork. @throws ApiError `checkpoint_not_found`. */
  async readable(owner: string, id: string): Promise<CheckpointRow> {
    const row = await findCheckpoint(this.#options.store, id);
    const theirs = row?.owner === owner || row?.is_public === 1;
    if (row === undefined || !theirs || row.state === 'deleting') throw notFound(id);
    return row;
  }

  /** A checkpoint that an owner may change. @throws ApiError `checkpoint_not_found`. */
  async owned(owner: string, id: string): Promise<CheckpointRow> {
    const row = await this.readable(owner, id);
    if (row.owner !== owner) throw notFound(id);
    return row;
  }

  /** Waits until a checkpoint is ready. @throws ApiError `checkpoint_not_ready`, `checkpoint_not_found`. */
  async ready(row: CheckpointRow): Promise<CheckpointRow> {
    const { engine } = this.#options;
    let current: CheckpointRow | undefined = row;
    if (row.state === 'processing') {
      const turn = engine.between(sandboxSubject(row.sandbox_id), readyMs, () => Promise.resolve());
      await turn.catch((error: unknown) => {
        if (!(error instanceof ApiError) || !['conflict', 'busy'].includes(error.code)) throw error;
      });
      current = await findCheckpoint(this.#options.store, row.id);
    }
    if (current === undefined || current.state === 'deleting') throw notFound(row.id);
    if (current.state === 'ready') return current;
    const because =
      current.state === 'failed' ? `failed: ${current.error ?? 'unknown'}` : 'is still being written';
    throw new ApiError('checkpoint_not_ready', `checkpoint ${row.id} ${because}`);
  }

  /** Puts a sandbox back to one of its checkpoints and waits until it runs. */
  async restore(owner: string, sandboxId: string, id: string): Promise<void> {
    const { sandboxes, lifecycle } = this.#options;
    await sandboxes.get(owner, sandboxId);
    const row = await this.readable(owner, id);
    if (row.sandbox_id !== sandboxId)
      throw new ApiError('invalid_request', `checkpoint ${id} is one of another sandbox`, {
        hint: 'Fork it with POST /api/sandboxes/from-checkpoint/:cid.',
      });
    const input = { checkpointId: id, actor: 'client', reason: `checkpoint ${row.name ?? id}` };
    await this.ready(row);
    await lifecycle.submit('restore', 'restore', sandboxId, input, async (tx, sandbox) => {
      const current = await findCheckpoint(tx, id);
      if (current?.state !== 'ready') throw notFound(id);
      await lifecycle.requireRoom(tx, sandbox);
      return true;
    });
  }

  /** Deletes a checkpoint of a sandbox. Done once the intent is kept and the files are gone, or a wait is over. */
  async delete(owner: string, sandboxId: string, id: string): Promise<void> {
    const row = await this.owned(owner, id);
    if (row.sandbox_id !== sandboxId) throw notFound(id);
    const begun = Promise.withResolvers<void>();
    const deleted = this.remove(row, begun.resolve);
    deleted.catch((error: unknown) => {
      this.#options.log.warn({ err: error, checkpointId: id }, 'deletion of a checkpoint not finished');
    });
    await Promise.race([begun.promise, deleted]);
    await endsWithin(deleted, deleteAnswerMs);
  }

  /** Deletes a checkpoint and its files; tried until it is done. */
  remove(row: CheckpointRow, begun?: () => void): Promise<void> {
    const input = { checkpointId: row.id };
    return this.#options.engine.submit(
      'deleteCheckpoint',
      sandboxSubject(row.sandbox_id),
      input,
      async (tx) => {
        const current = await findCheckpoint(tx, row.id);
        if (current === undefined || current.state === 'deleting') return false;
        await updateCheckpoint(tx, row.id, { state: 'deleting' });
        return true;
      },
      { begun },
    );
  }

  /** Lets everybody fork a checkpoint, or nobody else any more. */
  async publish(owner: string, id: string, isPublic: boolean): Promise<CheckpointRow> {
    await this.owned(owner, id);
    const row = await updateCheckpoint(this.#options.store, id, { is_public: isPublic ? 1 : 0 });
    if (row === undefined) throw notFound(id);
    return row;
  }

  /** Deletes the checkpoints that were made for calls which a stop of the server has cut off. */
  async removeLeftOver(): Promise<void> {
    for (const row of await namelessCheckpoints(this.#options.store))
      if (row.state !== 'deleting')
        this.remove(row).catch((error: unknown) => {
          this.#options.log.warn({ err: error, checkpointId: row.id }, 'checkpoint of a call not deleted');
        });
  }

  async #insert(tx: Store, id: string, sandbox: SandboxRow, request: CheckpointRequest): Promise<void> {
    const { name, kind, keep } = request;
    if (name !== null) await requireFree(tx, sandbox.id, { name, kind, keep, limit: this.#limit(kind) });
    await insertCheckpoint(tx, {
      id,
      owner: sandbox.owner,
      sandbox_id: sandbox.id,
      name,
      kind,
      state: 'processing',
      error: null,
      parent_id: sandbox.base_checkpoint_id,
      template: sandbox.template,
      cpu_count: sandbox.cpu_count,
      memory_mb: sandbox.memory_mb,
      disk_mb: sandbox.disk_mb,
      envs: sandbox.envs,
      metadata: sandbox.metadata,
      size_bytes: 0,
      pause_ms: null,
      is_public: 0,
      created_at: await nextCheckpointTime(tx, sandbox.id),
      failed_at: null,
      worker_id: sandbox.worker_id,
    });
  }

  /** Deletes what the policy of a new checkpoint says, now that the new one is ready. */
  async #makeRoom(sandboxId: string, { kind, keep }: CheckpointRequest): Promise<void> {
    if (keep === undefined) return;
    const rows = await countedCheckpoints(this.#options.store, sandboxId, kind);
    for (const row of rows.slice(0, Math.max(rows.length - keep, 0)))
      this.remove(row).catch((error: unknown) => {
        this.#options.log.warn({ err: error, checkpointId: row.id }, 'old checkpoint not deleted');
      });
  }

  #limit(kind: SnapshotKind): number {
    return this.#options.limits?.[kind] ?? checkpointLimit(kind);
  }

  async #row(id: string): Promise<CheckpointRow> {
    const row = await findCheckpoint(this.#options.store, id);
    if (row === undefined) throw notFound(id);
    return row;
  }
}

function notFound(id: string): ApiError {
  return new ApiError('checkpoint_not_found', `checkpoint not found: ${id}`);
}

/** @throws ApiError `name_taken`, `too_many_checkpoints`. */
async function requireFree(
  tx: Store,
  sandboxId: string,
  wanted: { name: string; kind: SnapshotKind; keep: number | undefined; limit: number },
): Promise<void> {
  const { name, kind, keep, limit } = wanted;
  if (await checkpointNameTaken(tx, sandboxId, name))
    throw new ApiError('name_taken', `sandbox ${sandboxId} has a checkpoint ${JSON.stringify(name)}`);
  const counted = await countedCheckpoints(tx, sandboxId, kind);
  if (keep === undefined && counted.length >= limit)
    throw new ApiError(
      'too_many_checkpoints',
      `sandbox ${sandboxId} has ${counted.length} checkpoints of kind ${kind}, ${limit} are allowed`,
      {
        details: { limit },
        hint: `Delete one, give retentionPolicy {"mode":"delete_oldest"}, or raise ${limitSettings[kind]}.`,
      },
    );
  // Failed ones only tell why; one that is tried again needs no telling.
  await pruneFailedCheckpoints(tx, sandboxId, name, failedKept);
}
