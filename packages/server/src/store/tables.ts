import type { Generated, Kysely, Selectable } from 'kysely';
import type { SandboxState } from '@opencomputer/protocol';

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
  worker_id: string;
  emulated: number;
}

type OperationState = 'running' | 'undoing' | 'done' | 'undone';

interface OperationTable {
  id: string;
  kind: string;
  sandbox_id: string;
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
  api_keys: ApiKeyTable;
  settings: SettingTable;
}

/** The database, or a transaction in it. */
export type Store = Kysely<Tables>;
export type SandboxRow = Selectable<SandboxTable>;
export type OperationRow = Selectable<OperationTable>;
export type ApiKeyRow = Selectable<ApiKeyTable>;
