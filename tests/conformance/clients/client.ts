import type { LiveAgents, LiveExec, LivePty } from './live.ts';

/** What the scenarios use of a client. Every client has it under the same names. */
export interface Client {
  readonly name:
    | 'ours-typescript'
    | 'ours-python'
    | 'ours-python-sync'
    | 'published-typescript'
    | 'published-python'
    | 'published-python-0.6';
  /** From this repository, or from the registry. */
  readonly origin: 'ours' | 'published';
  create(options?: CreateOptions): Promise<SandboxHandle>;
  connect(sandboxId: string, options?: Key): Promise<SandboxHandle>;
  createFromCheckpoint(checkpointId: string, options?: ForkOptions): Promise<SandboxHandle>;
  createCheckpointPatch(checkpointId: string, options: PatchOptions): Promise<{ patch: Patch }>;
  listCheckpointPatches(checkpointId: string, options?: Key): Promise<Patch[]>;
  deleteCheckpointPatch(checkpointId: string, patchId: string, options?: Key): Promise<void>;
  /** Beyond the published client. */
  readonly fork?: (checkpointId: string, options?: ForkManyOptions) => Promise<SandboxHandle[]>;
  /** Ends what the client runs in; a further call begins anew. */
  stop?(): Promise<void>;
}

export interface Key {
  apiKey?: string;
  apiUrl?: string;
}

export interface ForkOptions extends Key {
  timeout?: number;
  envs?: Record<string, string>;
}

export interface ForkManyOptions extends ForkOptions {
  count?: number;
  metadata?: Record<string, string>;
}

export interface PatchOptions extends Key {
  script: string;
  description?: string;
}

export interface Patch {
  id: string;
  checkpointId: string;
  sequence: number;
  script: string;
  description: string;
  strategy: string;
  createdAt: string;
}

export interface Checkpoint {
  id: string;
  sandboxId: string;
  name: string;
  status: string;
  sizeBytes: number;
  createdAt: string;
}

export interface CheckpointOptions {
  kind?: 'full' | 'disk_only';
  promoteToFull?: boolean;
  retentionPolicy?: { mode: 'delete_oldest'; maxCount?: number };
}

export interface CreateOptions {
  template?: string;
  timeout?: number;
  envs?: Record<string, string>;
  metadata?: Record<string, string>;
  cpuCount?: number;
  memoryMB?: number;
  apiKey?: string;
}

export interface RunOptions {
  timeout?: number;
  env?: Record<string, string>;
  cwd?: string;
  signal?: AbortSignal;
  timeoutMs?: number;
}

export interface RunResult {
  exitCode: number;
  stdout: string;
  stderr: string;
  /** The published client does not pass it on. */
  truncated?: boolean;
}

export interface SandboxHandle {
  readonly sandboxId: string;
  readonly status: string;
  readonly domain: string;
  isRunning(): Promise<boolean>;
  setTimeout(seconds: number): Promise<void>;
  kill(): Promise<void>;
  hibernate(): Promise<void>;
  wake(options?: { timeout?: number }): Promise<void>;
  reboot(): Promise<void>;
  powerCycle(): Promise<void>;
  createCheckpoint(name: string, options?: CheckpointOptions): Promise<Checkpoint>;
  listCheckpoints(): Promise<Checkpoint[]>;
  restoreCheckpoint(checkpointId: string): Promise<void>;
  deleteCheckpoint(checkpointId: string): Promise<void>;
  /** Beyond the published client. */
  fork?(options?: { count?: number; name?: string; envs?: Record<string, string> }): Promise<SandboxHandle[]>;
  /** Beyond the published client. */
  events?(): AsyncIterable<{ time: Date; actor: string; kind: string; reason: string | undefined }>;
  downloadUrl(path: string, options?: { expiresIn?: number }): Promise<string>;
  uploadUrl(path: string, options?: { expiresIn?: number }): Promise<string>;
  readonly exec: LiveExec & { run(command: string, options?: RunOptions): Promise<RunResult> };
  readonly pty: LivePty;
  readonly agent: LiveAgents;
  readonly files: {
    read(path: string): Promise<string>;
    readBytes(path: string): Promise<Uint8Array>;
    write(path: string, content: string | Uint8Array | ReadableStream<Uint8Array>): Promise<void>;
    list(path?: string): Promise<{ name: string; path: string; isDir: boolean; size?: number }[]>;
    makeDir(path: string): Promise<void>;
    remove(path: string): Promise<void>;
    exists(path: string): Promise<boolean>;
  };
}
