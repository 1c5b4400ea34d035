export { Sandbox } from './sandbox.ts';
export { SandboxState } from './state.ts';
export type { SandboxInfo, SandboxOptions, SignedUrlOptions } from './sandbox-info.ts';
export type {
  CheckpointInfo,
  CheckpointNode,
  CheckpointRetentionPolicy,
  CreateCheckpointOptions,
  ForkManyOptions,
  ForkOptions,
  ForkSelfOptions,
  PatchInfo,
  PatchOptions,
  PatchResult,
} from './checkpoints.ts';
export type { SandboxEvent, WakeOptions } from './state.ts';
export { SandboxList } from './list.ts';
export type { ListOptions, SandboxPage } from './list.ts';
export { Exec } from './exec.ts';
export type { ProcessResult, RunOptions, WaitOptions } from './exec.ts';
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
  TimeoutError,
} from './errors.ts';
export type { ClientErrorCode, ErrorCode, KnownErrorCode, ServerErrorCode } from './errors.ts';
