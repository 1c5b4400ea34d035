import { paintStatus } from './colors.ts';
import { formatAge, formatBytes } from './format.ts';
import { formatTable } from './table.ts';
import type { CheckpointInfo } from '@opencomputer/sdk';
import type { Paint } from './colors.ts';

export function checkpointTable(checkpoints: readonly CheckpointInfo[], paint: Paint): string {
  const rows = checkpoints.map((each) => [
    each.id,
    each.name,
    each.sandboxId,
    paintStatus(paint, each.status),
    each.kind,
    each.sizeBytes === 0 ? '-' : formatBytes(each.sizeBytes),
    each.isPublic ? 'yes' : 'no',
    formatAge(new Date(each.createdAt)),
  ]);
  return formatTable(['ID', 'NAME', 'SANDBOX', 'STATUS', 'KIND', 'SIZE', 'PUBLIC', 'CREATED'], rows, paint);
}
