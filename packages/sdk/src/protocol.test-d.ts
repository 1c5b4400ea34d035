/** Checked by the compiler alone: the hand-written types are what the contract's schemas say. */
import type {
  AgentSession,
  Checkpoint,
  CheckpointNode as ProtocolNode,
  createCheckpointSchema,
  createPatchSchema,
  CreateSandbox,
  createSessionSchema,
  createTerminalSchema,
  ErrorCode,
  ExecPoll,
  ExecRequest,
  ExecResult,
  ExecStarted,
  FileEntry,
  forkCheckpointSchema,
  forkSandboxSchema,
  ListSandboxesQuery,
  Patch,
  PublicState,
  Sandbox,
  SandboxEvent,
  Session,
  signedUrlSchema,
  signUrlSchema,
  startAgentSchema,
} from '@opencomputer/protocol';
import type {
  CheckpointInfo,
  CheckpointNode,
  CreateCheckpointOptions,
  ForkManyOptions,
  ForkSelfOptions,
} from './checkpoints.ts';
import type { ServerErrorCode } from './errors.ts';
import type { AgentSessionInfo, ExecSessionInfo } from './session-info.ts';
import type { PatchInfo, PatchOptions } from './patches.ts';
import type { ListOptions } from './sandbox-info.ts';
import type {
  FileType,
  SandboxStatus,
  WireCreatePty,
  WireCreateSandbox,
  WireEvent,
  WireExecHandle,
  WireExecPoll,
  WireExecRequest,
  WireFileEntry,
  WireSandbox,
  WireSignedUrl,
  WireStartAgent,
  WireStartExec,
} from './wire.ts';

type Assert<Holds extends true> = Holds;
type Same<Left, Right> = [Left, Right] extends [Right, Left] ? true : false;
type Extends<Part, Whole> = [Part] extends [Whole] ? true : false;
/** What a request may leave undefined is left out of the JSON. */
type Sent<Request> = { [Key in keyof Request]?: Exclude<Request[Key], undefined> };

export type Answers = [
  Assert<Same<SandboxStatus, PublicState>>,
  Assert<Same<ServerErrorCode, ErrorCode>>,
  Assert<Same<FileType, FileEntry['type']>>,
  Assert<Extends<Sandbox, WireSandbox>>,
  Assert<Same<WireSandbox, Pick<Sandbox, keyof WireSandbox>>>,
  Assert<Extends<ExecResult | ExecStarted, WireExecHandle>>,
  Assert<Extends<ExecPoll, WireExecPoll>>,
  Assert<Same<CheckpointInfo, Checkpoint>>,
  Assert<Same<CheckpointNode, ProtocolNode>>,
  Assert<Same<PatchInfo, Patch>>,
  Assert<Same<WireEvent, SandboxEvent>>,
  Assert<Same<WireFileEntry, FileEntry>>,
  Assert<Same<ExecSessionInfo, Session>>,
  Assert<Same<AgentSessionInfo, AgentSession>>,
  Assert<Same<WireSignedUrl, (typeof signedUrlSchema)['_output']>>,
];

/** Fields of a request body among the options of a call. */
type Body<Options, Schema extends { _input: unknown }> = Pick<
  Options,
  Extract<keyof Options, keyof Schema['_input']>
>;

export type Requests = [
  Assert<
    Extends<
      Sent<Body<CreateCheckpointOptions, typeof createCheckpointSchema>> & { name: string },
      (typeof createCheckpointSchema)['_input']
    >
  >,
  Assert<
    Extends<Sent<Body<ForkManyOptions, typeof forkCheckpointSchema>>, (typeof forkCheckpointSchema)['_input']>
  >,
  Assert<
    Extends<Sent<Body<ForkSelfOptions, typeof forkSandboxSchema>>, (typeof forkSandboxSchema)['_input']>
  >,
  Assert<
    Extends<
      Sent<Body<PatchOptions, typeof createPatchSchema>> & { script: string },
      (typeof createPatchSchema)['_input']
    >
  >,
  Assert<Same<keyof WireCreateSandbox, keyof CreateSandbox>>,
  Assert<Extends<Sent<WireCreateSandbox>, Sent<CreateSandbox>>>,
  Assert<Same<keyof WireExecRequest, keyof ExecRequest>>,
  Assert<Extends<Sent<WireExecRequest>, Sent<ExecRequest>>>,
  Assert<Same<keyof WireStartExec, keyof (typeof createSessionSchema)['_input']>>,
  Assert<Extends<Sent<WireStartExec>, Sent<(typeof createSessionSchema)['_input']>>>,
  Assert<Same<keyof WireCreatePty, keyof (typeof createTerminalSchema)['_input']>>,
  Assert<Extends<Sent<WireCreatePty>, Sent<(typeof createTerminalSchema)['_input']>>>,
  Assert<Same<keyof WireStartAgent, keyof (typeof startAgentSchema)['_input']>>,
  Assert<Same<Exclude<ListOptions['status'], undefined>, Exclude<ListSandboxesQuery['status'], undefined>>>,
  Assert<Extends<{ path: string; expiresIn?: number }, (typeof signUrlSchema)['_input']>>,
];
