export { Sandbox, SandboxList } from './sandbox.ts';
export type { SandboxPage } from './sandbox.ts';
export type { KeptAwakeBy, ListOptions, SandboxInfo, SandboxOptions } from './sandbox-info.ts';
export type { SignedUrlOptions } from './signed-url.ts';
export type {
  CheckpointInfo,
  CheckpointNode,
  CheckpointRetentionPolicy,
  CreateCheckpointOptions,
  ForkManyOptions,
  ForkOptions,
  ForkSelfOptions,
} from './checkpoints.ts';
export type { PatchInfo, PatchOptions, PatchResult } from './patches.ts';
export type { SandboxEvent } from './events.ts';
export type { WakeOptions } from './power.ts';
export { Exec } from './exec.ts';
export type { ExecStartOptions } from './exec.ts';
export type { ProcessResult, RunOptions, WaitOptions } from './run.ts';
export { ExecSession } from './exec-session.ts';
export type { AttachLimits, ExecAttachOptions, ExecOutput, SessionCallbacks } from './exec-session.ts';
export type { AgentSessionInfo, ExecSessionInfo } from './session-info.ts';
export { Shell } from './shell.ts';
export type { ShellOptions } from './shell.ts';
export type { ShellRunOptions } from './shell-run.ts';
export { Pty, PtySession } from './pty.ts';
export type { PtyAttachOptions, PtyCallbacks, PtyOptions } from './pty.ts';
export { Agent, Agent as SandboxAgent } from './agent.ts';
export type {
  AgentAttachOptions,
  AgentAttachOptions as SandboxAgentAttachOptions,
  AgentStartOptions,
  AgentStartOptions as SandboxAgentStartOptions,
} from './agent.ts';
export { AgentSession, AgentSession as SandboxAgentSession } from './agent-session.ts';
export type {
  AgentCallbacks,
  AgentConfig,
  AgentConfig as SandboxAgentConfig,
  AgentEvent,
  AgentEvent as SandboxAgentEvent,
  McpServerConfig,
} from './agent-session.ts';
export type { TerminalSize } from './sessions.ts';
export type { OutputStream } from './connection/frames.ts';
export type { ReconnectOptions } from './connection/reconnect.ts';
export type { WebSocketFactory, WebSocketLike } from './connection/socket.ts';
export { Filesystem } from './files.ts';
export type { EntryInfo } from './files.ts';
export type { FileContent } from './upload.ts';
export type { FileType, SandboxStatus } from './wire.ts';
export type { ConnectionOptions, RequestOptions } from './config.ts';
export {
  AuthenticationError,
  CapacityError,
  ConflictError,
  ConnectionError,
  ExecTimeoutError,
  FileNotFoundError,
  InvalidRequestError,
  LimitError,
  NotFoundError,
  OpenComputerError,
  SandboxNotFoundError,
  SandboxStoppedError,
  ServerError,
  ShellBusyError,
  ShellClosedError,
  TimeoutError,
} from './errors.ts';
export type { ClientErrorCode, ErrorCode, KnownErrorCode, ServerErrorCode } from './errors.ts';
