import type { Generated, Insertable, Kysely, Selectable } from 'kysely';
import type { CheckpointStatus, SandboxState, SnapshotKind } from '@opencomputer/protocol';

interface SandboxTable {
  id: string;
  owner: string;
  state: SandboxState;
  reason: string | null;
  template: string;
  cpu_count: number;
  memory_mb: number;
  disk_mb: number;
  /** JSON object. */
  envs: string;
  /** JSON object. */
  metadata: string;
  /** Seconds; 0 is never. */
  timeout_s: number;
  /** Unix milliseconds, as all other times. */
  created_at: number;
  /** Null when it never ran. */
  started_at: number | null;
  last_active_at: number;
  stopped_at: number | null;
  /** The worker that its machine is on, or is to be. */
  worker_id: string;
  emulated: number;
  hibernated_at: number | null;
  /** What its saved memory occupied when it was hibernated the last time. */
  hibernation_bytes: Generated<number>;
  started_from: 'memory' | 'disk' | null;
  cold_boot_reason: string | null;
  patch_error: string | null;
  /** What it was forked from; kept when that is deleted. */
  from_checkpoint_id: string | null;
  /** What its present state came from: the newest of its fork, checkpoints and restores. */
  base_checkpoint_id: string | null;
  /** Set until all forks of one call stand. */
  fork_group: string | null;
}

interface CheckpointTable {
  id: string;
  owner: string;
  sandbox_id: string;
  /** Null for one made for a call that forks. */
  name: string | null;
  kind: SnapshotKind;
  state: CheckpointStatus | 'deleting';
  error: string | null;
  parent_id: string | null;
  template: string;
  cpu_count: number;
  memory_mb: number;
  disk_mb: number;
  /** JSON object. */
  envs: string;
  /** JSON object. */
  metadata: string;
  size_bytes: number;
  pause_ms: number | null;
  /** Whether its guest came to rest first, 0 or 1; null: not known. */
  quiesced: number | null;
  is_public: number;
  created_at: number;
  failed_at: number | null;
  /** The worker that its files are on. */
  worker_id: string;
}

interface WorkerTable {
  id: string;
  /** Where it was reached the last time; null when another worker is there now. */
  address: string | null;
  /** `draining`: it gets no new sandboxes. */
  state: 'active' | 'draining';
  machines_max: number;
  /** Memory of all machines that run. */
  memory_mb_max: number;
  last_seen_at: number;
}

interface PatchTable {
  id: string;
  checkpoint_id: string;
  sequence: number;
  script: string;
  description: string;
  created_at: number;
}

interface PatchRunTable {
  sandbox_id: string;
  patch_id: string;
  exec_id: string;
  error: string | null;
  ended_at: number | null;
}

type OperationState = 'running' | 'undoing' | 'done' | 'undone';

interface OperationTable {
  id: string;
  kind: string;
  subject_kind: string;
  subject_id: string;
  /** JSON. */
  input: string;
  state: OperationState;
  /** Number of steps that are finished and not undone. */
  step: number;
  attempts: number;
  /** JSON of the error that made it be undone. */
  error: string | null;
  created_at: number;
  updated_at: number;
  deadline_at: number;
  /** The server that runs it, or ran it last. */
  owner: string;
  /** When another server may take it over. */
  owned_until: number;
}

export interface EventTable {
  id: Generated<number>;
  sandbox_id: string;
  time: number;
  actor: 'client' | 'system';
  kind: string;
  reason: string | null;
}

interface ApiKeyTable {
  id: string;
  owner: string;
  name: string;
  /** The first characters of the key, for display. */
  prefix: string;
  /** SHA-256, hex. */
  hash: string;
  source: 'bootstrap' | 'command';
  created_at: number;
  revoked_at: number | null;
}

interface SettingTable {
  name: string;
  value: string;
}

export interface Tables {
  sandboxes: SandboxTable;
  operations: OperationTable;
  events: EventTable;
  checkpoints: CheckpointTable;
  patches: PatchTable;
  patch_runs: PatchRunTable;
  api_keys: ApiKeyTable;
  settings: SettingTable;
  workers: WorkerTable;
}

/** The database, or a transaction in it. */
export type Store = Kysely<Tables>;
export type SandboxRow = Selectable<SandboxTable>;
export type NewSandboxRow = Insertable<SandboxTable>;
export type OperationRow = Selectable<OperationTable>;
export type EventRow = Selectable<EventTable>;
export type CheckpointRow = Selectable<CheckpointTable>;
export type NewCheckpointRow = Insertable<CheckpointTable>;
export type PatchRow = Selectable<PatchTable>;
export type ApiKeyRow = Selectable<ApiKeyTable>;
export type WorkerRow = Selectable<WorkerTable>;
