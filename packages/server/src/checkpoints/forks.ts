import { randomUUID } from 'node:crypto';
import {
  ApiError,
  describeIssues,
  envSchema,
  type ForkRequest,
  metadataSchema,
} from '@opencomputer/protocol';
import type { z } from 'zod';
import type { Log } from '../observe/log.ts';
import type { NewSandbox } from '../sandboxes/creation.ts';
import type { SandboxService } from '../sandboxes/service.ts';
import type { CheckpointRow, SandboxRow, Store } from '../store/tables.ts';
import type { CheckpointService } from './service.ts';
import { transact } from '../store/transaction.ts';

/** Forks of one call that are made at the same time. */
const atOnce = 16;

export interface ForkOptions {
  readonly store: Store;
  readonly sandboxes: SandboxService;
  readonly checkpoints: CheckpointService;
  readonly log: Log;
}

/** Makes sandboxes from checkpoints. */
export class Forks {
  readonly #options: ForkOptions;

  constructor(options: ForkOptions) {
    this.#options = options;
  }

  /**
   * Forks a checkpoint, waiting for one that is being written: all of `count`, or none. Undone when the client goes.
   * @throws ApiError `checkpoint_not_found`, `checkpoint_not_ready`, and what a creation throws.
   */
  async fork(
    owner: string,
    checkpointId: string,
    request: ForkRequest,
    clientGone: AbortSignal,
  ): Promise<SandboxRow[]> {
    const { store, sandboxes, checkpoints } = this.#options;
    const checkpoint = await checkpoints.ready(await checkpoints.readable(owner, checkpointId));
    const count = request.count ?? 1;
    const forkGroup = count > 1 ? randomUUID() : undefined;
    const sandbox = { ...newFork(owner, checkpoint, request), forkGroup };
    await transact(store, (tx) => sandboxes.quota.requireLive(tx, owner, count));
    if (forkGroup === undefined) return [await sandboxes.creation.create(sandbox, clientGone)];
    const rows = await this.#allOrNone(sandbox, count, clientGone);
    await store
      .updateTable('sandboxes')
      .set({ fork_group: null })
      .where('fork_group', '=', forkGroup)
      .execute();
    return rows;
  }

  /** Takes a checkpoint of a sandbox and forks that; it is only kept when it has a name. */
  async forkSandbox(
    owner: string,
    sandboxId: string,
    request: ForkRequest & { name?: string | undefined },
    clientGone: AbortSignal,
  ): Promise<SandboxRow[]> {
    const { store, sandboxes, checkpoints, log } = this.#options;
    const sandbox = await sandboxes.get(owner, sandboxId);
    // What cannot be is refused before anything is done.
    newFork(owner, sandbox, request);
    await transact(store, (tx) => sandboxes.quota.requireLive(tx, owner, request.count ?? 1));
    const name = request.name ?? null;
    const { id, ended } = await checkpoints.begin(sandbox, { name, kind: 'full' });
    try {
      await ended;
      return await this.fork(owner, id, request, clientGone);
    } finally {
      if (name === null)
        await checkpoints.readable(owner, id).then(
          (row) => {
            checkpoints.remove(row).catch((error: unknown) => {
              log.warn(
                { err: error, checkpointId: id },
                'checkpoint of a fork not deleted; it is tried again',
              );
            });
          },
          (error: unknown) => log.debug({ err: error, checkpointId: id }, 'no checkpoint to delete'),
        );
    }
  }

  /** Ends the forks of calls which a stop of the server has cut off before all of them stood. */
  async removeLeftOver(): Promise<void> {
    const { store, sandboxes, log } = this.#options;
    const rows = await store
      .selectFrom('sandboxes')
      .select('id')
      .where('fork_group', 'is not', null)
      .where('state', 'not in', ['stopping', 'stopped'])
      .execute();
    for (const { id } of rows)
      sandboxes.abandon(id, 'the other forks of its call were interrupted').catch((error: unknown) => {
        log.warn({ err: error, sandboxId: id }, 'fork not ended');
      });
  }

  async #allOrNone(sandbox: NewSandbox, count: number, clientGone: AbortSignal): Promise<SandboxRow[]> {
    const { sandboxes, log } = this.#options;
    const giveUp = new AbortController();
    const signal = AbortSignal.any([clientGone, giveUp.signal]);
    const rows: SandboxRow[] = [];
    const failures: unknown[] = [];
    let left = count;
    const makeSome = async (): Promise<void> => {
      while (left > 0 && !signal.aborted) {
        left -= 1;
        try {
          rows.push(await sandboxes.creation.create(sandbox, signal));
        } catch (error) {
          failures.push(error);
          giveUp.abort();
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(count, atOnce) }, makeSome));
    if (rows.length === count) return rows;
    const reason = clientGone.aborted ? 'the client went away' : 'another fork of its call failed';
    const ends = rows.map((row) =>
      sandboxes.abandon(row.id, reason).catch((error: unknown) => {
        log.warn({ err: error, sandboxId: row.id }, 'fork not ended');
      }),
    );
    await Promise.all(ends);
    throw failures[0] ?? new ApiError('creation_failed', reason);
  }
}

function newFork(
  owner: string,
  from: CheckpointRow | SandboxRow,
  { timeout, envs, metadata }: ForkRequest,
): NewSandbox {
  return {
    owner,
    template: from.template,
    cpuCount: from.cpu_count,
    memoryMB: from.memory_mb,
    diskMB: from.disk_mb,
    envs: merged('envs', envSchema, from.envs, envs),
    metadata: merged('metadata', metadataSchema, from.metadata, metadata),
    timeout,
    checkpointId: from.id,
  };
}

/** What is given over what is there. @throws ApiError `invalid_request` when both together are too much. */
function merged(
  field: string,
  schema: z.ZodType<Record<string, string>>,
  stored: string,
  given: Record<string, string>,
): Record<string, string> {
  const parsed = schema.safeParse({ ...(JSON.parse(stored) as Record<string, string>), ...given });
  if (parsed.success) return parsed.data;
  throw new ApiError(
    'invalid_request',
    `${field}, together with those of the checkpoint: ${describeIssues(parsed.error)}`,
  );
}
