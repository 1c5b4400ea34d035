import { formatAge, formatPairs } from './format.ts';
import { paintStatus } from './colors.ts';
import { formatFields, formatTable } from './table.ts';
import type { KeptAwakeBy, Sandbox } from '@opencomputer/sdk';
import type { Paint } from './colors.ts';

/** A sandbox for programs, under the names of the API. */
export function sandboxJson({ info }: Sandbox): object {
  const { sandboxId, template, workerId, ...rest } = info;
  return { sandboxID: sandboxId, templateID: template, ...rest, workerID: workerId };
}

export function sandboxTable(sandboxes: readonly Sandbox[], paint: Paint): string {
  const rows = sandboxes.map(({ info }) => [
    info.sandboxId,
    paintStatus(paint, info.status),
    info.template,
    String(info.cpuCount),
    `${info.memoryMB} MiB`,
    formatAge(info.startedAt),
    formatPairs(info.metadata),
  ]);
  return formatTable(['ID', 'STATUS', 'TEMPLATE', 'CPUS', 'MEMORY', 'STARTED', 'METADATA'], rows, paint);
}

function formatKeptAwakeBy(kept: KeptAwakeBy | undefined): string | undefined {
  if (kept === undefined) return undefined;
  const others = kept.sessions > 1 ? `, and ${kept.sessions - 1} more` : '';
  return `${kept.command} (session ${kept.sessionID}${others}), seen at ${kept.at.toISOString()}`;
}

export function sandboxFields({ info }: Sandbox, paint: Paint): string {
  const idle = info.timeout === 0 ? 'never hibernates by itself' : `hibernates after ${info.timeout} s idle`;
  return formatFields(
    [
      ['id', info.sandboxId],
      ['status', paintStatus(paint, info.status)],
      ['reason', info.statusReason],
      ['template', info.template],
      ['shape', `${info.cpuCount} CPU, ${info.memoryMB} MiB memory, ${info.diskMB} MiB disk`],
      ['timeout', idle],
      ['started', info.startedAt.toISOString()],
      ['kept awake by', formatKeptAwakeBy(info.keptAwakeBy)],
      ['hibernated', info.hibernatedAt?.toISOString()],
      ['started from', info.startedFrom],
      ['cold boot', info.coldBootReason],
      ['forked from', info.fromCheckpointId],
      ['patch error', info.patchError],
      ['metadata', formatPairs(info.metadata)],
      ['isolation', info.emulated ? 'none: this host emulates machines, it has no KVM' : undefined],
    ],
    paint,
  );
}
