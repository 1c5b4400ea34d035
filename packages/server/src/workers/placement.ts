import { ApiError } from '@opencomputer/protocol';
import type { Store, WorkerRow } from '../store/tables.ts';
import { allWorkers, type Load, loadOfWorkers, workerOfCheckpoint } from '../store/workers.ts';

/** What a new sandbox needs of its worker. */
export interface Demand {
  readonly memoryMB: number;
  /** The checkpoint that it is forked from. */
  readonly checkpointId?: string | undefined;
}

const none: Load = { machines: 0, memoryMB: 0 };

/**
 * Chooses the worker of a new sandbox: for a fork the one that has its checkpoint, else of the active ones that are
 * connected and have room the least loaded. Where none is, or none has, the least loaded all the same: a worker that is
 * back soon is waited for, and one that is full says of what. Call it in the transaction that writes the row.
 * @param connected the ids of the workers that are
 * @throws ApiError `checkpoint_not_found`, `no_capacity` when no worker takes new sandboxes
 */
export async function chooseWorker(
  tx: Store,
  { memoryMB, checkpointId }: Demand,
  connected: ReadonlySet<string>,
): Promise<string> {
  if (checkpointId !== undefined) {
    const workerId = await workerOfCheckpoint(tx, checkpointId);
    if (workerId !== undefined) return workerId;
    throw new ApiError('checkpoint_not_found', `checkpoint not found: ${checkpointId}`);
  }
  const active = (await allWorkers(tx)).filter(({ state }) => state === 'active');
  const [first] = active;
  if (first === undefined) throw new ApiError('no_capacity', 'no worker takes new sandboxes at the moment');
  if (active.length === 1) return first.id;
  const loads = await loadOfWorkers(tx);
  const after = active.map((worker) => ({
    worker,
    load: withOneMore(loads.get(worker.id) ?? none, memoryMB),
  }));
  const there = narrowed(after, ({ worker }) => connected.has(worker.id));
  const roomy = narrowed(there, ({ worker, load }) => share(worker, load) <= 1);
  const best = roomy.reduce((a, b) => (share(b.worker, b.load) < share(a.worker, a.load) ? b : a));
  return best.worker.id;
}

function withOneMore({ machines, memoryMB }: Load, more: number): Load {
  return { machines: machines + 1, memoryMB: memoryMB + more };
}

/** How much of a worker is taken: 1 is all, of what is scarcer there. */
function share({ machines_max, memory_mb_max }: WorkerRow, { machines, memoryMB }: Load): number {
  return Math.max(machines / Math.max(machines_max, 0.5), memoryMB / Math.max(memory_mb_max, 0.5));
}

/** Those for which something holds; all where it holds for none. */
function narrowed<T>(all: readonly T[], holds: (one: T) => boolean): readonly T[] {
  const some = all.filter(holds);
  return some.length > 0 ? some : all;
}
