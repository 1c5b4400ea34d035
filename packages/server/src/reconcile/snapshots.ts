import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { checkpointsWithFiles, findCheckpoint, updateCheckpoint } from '../store/checkpoints.ts';
import { checkpointWasUndone } from '../store/operations.ts';
import type { Store } from '../store/tables.ts';
import type { WorkerClient } from '../workers/client.ts';
import { transact } from '../store/transaction.ts';

export interface SnapshotParts {
  readonly store: Store;
  readonly worker: WorkerClient;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Compares the checkpoints that should be there with the snapshots that the worker has. */
export async function compareSnapshots({ store, worker, log, metrics }: SnapshotParts): Promise<void> {
  // In this order: one that becomes ready in between has files that the list may lack.
  const rows = await checkpointsWithFiles(store);
  const { snapshots, damaged } = await worker.listSnapshots();
  const there = new Set([...snapshots.map((snapshot) => snapshot.id), ...damaged]);
  if (damaged.length > 0)
    log.error({ snapshots: damaged.slice(0, 50), count: damaged.length }, 'snapshots are damaged');
  const known = new Set(rows.map((row) => row.id));
  for (const row of rows)
    if (row.state === 'ready' && !there.has(row.id)) {
      const lost = await transact(store, async (tx) => {
        if ((await findCheckpoint(tx, row.id))?.state !== 'ready') return false;
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
    if (row !== undefined && row.state !== 'failed') continue;
    if (await checkpointWasUndone(store, id)) {
      log.warn({ snapshot: id }, 'deleting a snapshot whose checkpoint was undone');
      await worker.deleteSnapshot(id);
    } else unknown.push(id);
  }
  metrics.unknownSnapshots.set(unknown.length);
  if (unknown.length > 0)
    log.error(
      { snapshots: unknown.slice(0, 50), count: unknown.length },
      'snapshots without a checkpoint, left alone',
    );
}
