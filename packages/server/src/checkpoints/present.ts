import type { Checkpoint, Patch } from '@opencomputer/protocol';
import type { CheckpointRow, PatchRow } from '../store/tables.ts';

const isoTime = (ms: number): string => new Date(ms).toISOString();

/** A checkpoint as clients see it. */
export function presentCheckpoint(row: CheckpointRow): Checkpoint {
  return {
    id: row.id,
    sandboxId: row.sandbox_id,
    orgId: row.owner,
    name: row.name ?? '',
    kind: row.kind,
    // One that is being deleted is only seen by who has asked before.
    status: row.state === 'deleting' ? 'failed' : row.state,
    sandboxConfig: {
      template: row.template,
      cpuCount: row.cpu_count,
      memoryMB: row.memory_mb,
      diskMB: row.disk_mb,
    },
    sizeBytes: row.size_bytes,
    isPublic: row.is_public === 1,
    createdAt: isoTime(row.created_at),
    ...(row.parent_id === null ? {} : { parentCheckpointId: row.parent_id }),
    ...(row.pause_ms === null ? {} : { pauseMs: row.pause_ms }),
    ...(row.quiesced === null ? {} : { quiesced: row.quiesced === 1 }),
    ...(row.error === null ? {} : { errorMsg: row.error }),
    ...(row.failed_at === null ? {} : { failedAt: isoTime(row.failed_at) }),
  };
}

/** A patch as clients see it. */
export function presentPatch(row: PatchRow): Patch {
  return {
    id: row.id,
    checkpointId: row.checkpoint_id,
    sequence: row.sequence,
    script: row.script,
    description: row.description,
    strategy: 'on_wake',
    createdAt: isoTime(row.created_at),
  };
}
