import { type CheckpointNode, type PageQuery, publicState } from '@opencomputer/protocol';
import { decodeCursor, encodeCursor } from '../sandboxes/listing.ts';
import { checkpointsOfOwner, forksOf } from '../store/checkpoints.ts';
import type { Store } from '../store/tables.ts';
import { presentCheckpoint } from './present.ts';

/** Forks that are told of one checkpoint. */
const forksTold = 1000;

/** One page of an owner's checkpoints with their forks and, when there are more, the cursor of the next. */
export async function pageOfCheckpoints(
  store: Store,
  owner: string,
  { limit, cursor }: PageQuery,
): Promise<{ nodes: CheckpointNode[]; next: string | undefined }> {
  const after = cursor === undefined ? undefined : decodeCursor(cursor);
  const rows = await checkpointsOfOwner(store, { owner, after, limit: limit + 1 });
  const page = rows.slice(0, limit);
  const forks = await forksOf(
    store,
    owner,
    page.map((row) => row.id),
  );
  const byCheckpoint = Map.groupBy(forks, (row) => row.from_checkpoint_id);
  const nodes = page.map((row) => ({
    ...presentCheckpoint(row),
    forks: (byCheckpoint.get(row.id) ?? [])
      .slice(0, forksTold)
      .map((fork) => ({ sandboxID: fork.id, status: publicState(fork.state) })),
  }));
  const last = page.at(-1);
  return { nodes, next: rows.length > page.length && last ? encodeCursor(last) : undefined };
}
