import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { checkpointsWithFiles, findCheckpoint, updateCheckpoint } from '../store/checkpoints.ts';
import { checkpointWasUndone } from '../store/operations.ts';
import type { Store } from '../store/tables.ts';
import { transact } from '../store/transaction.ts';
import type { Worker, WorkerRegistry } from '../workers/registry.ts';

export interface SnapshotParts {
  readonly store: Store;
  readonly workers: Pick<WorkerRegistry, 'confirm'>;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Compares the checkpoints that should be on a worker with the snapshots that it has. */
export async function compareSnapshots(
  { store, workers, log, metrics }: SnapshotParts,
  worker: Worker,
): Promise<void> {
  // In this order: one that becomes ready in between has files that the list may lack.
  const rows = await checkpointsWithFiles(store, worker.id);
  const { snapshots, damaged } = await worker.client.listSnapshots();
  await workers.confirm(worker);
  const there = new Set([...snapshots.map((snapshot) => snapshot.id), ...damaged]);
  if (damaged.length > 0)
    log.error(
      { workerId: worker.id, snapshots: damaged.slice(0, 50), count: damaged.length },
      'snapshots are damaged',
    );
  const known = new Set(rows.map((row) => row.id));
  for (const row of rows)
    if (row.state === 'ready' && !there.has(row.id)) {
      const lost = await transact(store, async (tx) => {
        const current = await findCheckpoint(tx, row.id);
        if (current?.state !== 'ready' || current.worker_id !== worker.id) return false;
        const error = 'its files are missing on the worker';
        await updateCheckpoint(tx, row.id, { state: 'failed', error, failed_at: Date.now() });
        return true;
      });
      if (lost)
        log.error({ checkpointId: row.id, sandboxId: row.sandbox_id }, 'files of a checkpoint missing');
    }
  const unknown: string[] = [];
  for (const id of there) {
    if (known.has(id)) continue;
    // One whose row has come since.
    const row = await findCheckpoint(store, id);
    const here = row?.worker_id === worker.id;
    if (here && row.state !== 'failed') continue;
    if ((here || row === undefined) && (await checkpointWasUndone(store, id))) {
      log.warn({ workerId: worker.id, snapshot: id }, 'deleting a snapshot whose checkpoint was undone');
      await worker.client.deleteSnapshot(id);
    } else unknown.push(id);
  }
  metrics.unknownSnapshots.set({ worker: worker.id }, unknown.length);
  if (unknown.length > 0)
    log.error(
      { workerId: worker.id, snapshots: unknown.slice(0, 50), count: unknown.length },
      'snapshots without a checkpoint, left alone',
    );
}
