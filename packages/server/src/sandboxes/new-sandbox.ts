import { ApiError } from '@opencomputer/protocol';
import { addEvent } from '../store/events.ts';
import { insertSandbox } from '../store/sandboxes.ts';
import type { Store } from '../store/tables.ts';

/** Errors of a creation that are passed on as they are; others become `creation_failed`. */
const creationErrors = new Set([
  'invalid_request',
  'template_not_found',
  'checkpoint_not_found',
  'too_many_sandboxes',
  'no_capacity',
  'no_space',
  'creation_failed',
  'abandoned',
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

/**
 * Writes the row of a new sandbox, in state `creating`, and the event; call it in a transaction.
 * @param workerId where its machine is to be made
 */
export async function insertNewSandbox(
  tx: Store,
  id: string,
  sandbox: NewSandbox,
  workerId: string,
): Promise<void> {
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
    worker_id: workerId,
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

/** What a client is told of a creation that failed. */
export function toCreationError(error: unknown): unknown {
  if (!(error instanceof ApiError) || creationErrors.has(error.code)) return error;
  return new ApiError('creation_failed', error.message, { cause: error });
}
