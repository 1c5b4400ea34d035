import { publicState, type Sandbox } from '@opencomputer/protocol';
import type { SandboxRow } from '../store/tables.ts';
import type { KeptAwake } from './idle-clock.ts';

/** How the wire says "never". */
const never = '0001-01-01T00:00:00Z';

export interface Installation {
  readonly region: string;
  readonly sandboxDomain: string;
}

/** A sandbox as clients see it. @param remainingMs Until it expires; undefined when never or not known. */
export function presentSandbox(
  row: SandboxRow,
  remainingMs: number | undefined,
  installation: Installation,
  keptAwake?: KeptAwake,
): Sandbox {
  const isoTime = (ms: number): string => new Date(ms).toISOString();
  return {
    sandboxID: row.id,
    status: publicState(row.state),
    ...(row.reason === null ? {} : { statusReason: row.reason }),
    templateID: row.template,
    template: row.template,
    cpuCount: row.cpu_count,
    memoryMB: row.memory_mb,
    diskMB: row.disk_mb,
    metadata: JSON.parse(row.metadata),
    timeout: row.timeout_s,
    startedAt: isoTime(row.started_at ?? row.created_at),
    endAt: endAt(row, remainingMs),
    ...(row.stopped_at === null ? {} : { stoppedAt: isoTime(row.stopped_at) }),
    ...keptAwakeBy(row, keptAwake),
    ...(row.hibernated_at === null ? {} : { hibernatedAt: isoTime(row.hibernated_at) }),
    ...(row.started_from === null ? {} : { startedFrom: row.started_from }),
    ...(row.cold_boot_reason === null ? {} : { coldBootReason: row.cold_boot_reason }),
    ...(row.from_checkpoint_id === null ? {} : { fromCheckpointId: row.from_checkpoint_id }),
    ...(row.patch_error === null ? {} : { patchError: row.patch_error }),
    region: installation.region,
    workerID: row.worker_id,
    sandboxDomain: installation.sandboxDomain,
    emulated: row.emulated === 1,
  };
}

function keptAwakeBy(row: SandboxRow, kept: KeptAwake | undefined): Pick<Sandbox, 'keptAwakeBy'> {
  const oldest = kept?.use.sessions[0];
  if (kept === undefined || oldest === undefined || row.state !== 'running') return {};
  const { id: sessionID, command } = oldest;
  return {
    keptAwakeBy: { sessionID, command, sessions: kept.use.count, at: new Date(kept.at).toISOString() },
  };
}

function endAt(row: SandboxRow, remainingMs: number | undefined): string {
  if (row.stopped_at !== null) return new Date(row.stopped_at).toISOString();
  // What is hibernated waits as long as it takes.
  if (row.timeout_s === 0 || row.state === 'hibernated') return never;
  const ms = remainingMs ?? row.timeout_s * 1000;
  return new Date(Date.now() + ms).toISOString();
}
