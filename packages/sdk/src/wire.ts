/** Shapes of JSON as the server sends them. Internal: may change with any version. */

/** Status of a sandbox. */
export type SandboxStatus = 'running' | 'hibernated' | 'stopped' | 'error';

export interface WireSandbox {
  sandboxID: string;
  status: SandboxStatus;
  statusReason?: string | undefined;
  templateID: string;
  cpuCount: number;
  memoryMB: number;
  diskMB: number;
  metadata: Record<string, string>;
  timeout: number;
  startedAt: string;
  endAt: string;
  stoppedAt?: string | undefined;
  keptAwakeBy?: { sessionID: string; command: string; sessions: number; at: string } | undefined;
  hibernatedAt?: string | undefined;
  startedFrom?: 'memory' | 'disk' | undefined;
  coldBootReason?: string | undefined;
  fromCheckpointId?: string | undefined;
  patchError?: string | undefined;
  region: string;
  workerID: string;
  sandboxDomain: string;
  emulated: boolean;
  /** From create, get, wake and fork. */
  token?: string | undefined;
}

export interface WireCreateSandbox {
  templateID: string;
  timeout: number;
  envs?: Record<string, string> | undefined;
  metadata?: Record<string, string> | undefined;
  cpuCount?: number | undefined;
  memoryMB?: number | undefined;
  diskMB?: number | undefined;
}

export interface WireExecRequest {
  cmd: string;
  args: string[];
  envs?: Record<string, string> | undefined;
  cwd?: string | undefined;
  timeout: number;
  log?: boolean | undefined;
  listed?: boolean | undefined;
}

/** Answer of run-async: with `execId` while the command runs, with `exitCode` when it has ended. */
export interface WireExecHandle {
  execId?: string | undefined;
  exitCode?: number | undefined;
  stdout?: string | undefined;
  stderr?: string | undefined;
  truncated?: boolean | undefined;
}

export interface WireExecPoll {
  running: boolean;
  exitCode?: number | undefined;
  stdout: string;
  stderr: string;
  truncated?: boolean | undefined;
  error?: string | undefined;
}

export type FileType = 'file' | 'directory' | 'symlink' | 'other';

export interface WireFileEntry {
  name: string;
  path: string;
  isDir: boolean;
  size?: number | undefined;
  type: FileType;
  mode: string;
  modifiedAt: string;
}

export interface WireSignedUrl {
  url: string;
  expiresAt: string;
}

export interface WireFork {
  timeout?: number | undefined;
  envs?: Record<string, string> | undefined;
  metadata?: Record<string, string> | undefined;
  count?: number | undefined;
}

export interface WireEvent {
  id: number;
  time: string;
  actor: 'client' | 'system';
  kind: string;
  reason?: string | undefined;
}

export interface WireStartExec {
  cmd: string;
  args: string[] | undefined;
  envs: Record<string, string> | undefined;
  cwd: string | undefined;
  timeout: number | undefined;
  maxRunAfterDisconnect: number | undefined;
  keepAwake: boolean | undefined;
  log: boolean | undefined;
  listed: boolean | undefined;
}

export interface WireCreatePty {
  cols: number;
  rows: number;
  shell: string | undefined;
  envs: Record<string, string> | undefined;
  cwd: string | undefined;
}

export interface WireStartAgent {
  prompt: string | undefined;
  model: string | undefined;
  systemPrompt: string | undefined;
  allowedTools: string[] | undefined;
  disallowedTools: string[] | undefined;
  permissionMode: string | undefined;
  maxTurns: number | undefined;
  cwd: string | undefined;
  mcpServers: Record<string, object> | undefined;
  resume: string | undefined;
}
