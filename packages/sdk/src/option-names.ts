import type { AgentAttachOptions, AgentStartOptions } from './agent.ts';
import type { AgentCallbacks, AgentConfig } from './agent-session.ts';
import type {
  CreateCheckpointOptions,
  ForkManyOptions,
  ForkOptions,
  ForkSelfOptions,
} from './checkpoints.ts';
import type { ConnectionOptions, RequestOptions } from './config.ts';
import type { ExecStartOptions } from './exec.ts';
import type { AttachLimits, ExecAttachOptions, SessionCallbacks } from './exec-session.ts';
import type { PatchOptions } from './patches.ts';
import type { ReconnectOptions } from './connection/reconnect.ts';
import type { PtyAttachOptions, PtyOptions } from './pty.ts';
import type { RunOptions, WaitOptions } from './run.ts';
import type { ListOptions, SandboxOptions } from './sandbox-info.ts';
import type { SignedUrlOptions } from './signed-url.ts';
import type { TerminalSize } from './sessions.ts';
import type { ShellOptions } from './shell.ts';
import type { ShellRunOptions } from './shell-run.ts';
import type { WakeOptions } from './power.ts';

/** The names of all options of a kind: the compiler checks that none is missing, and none is too many. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

const request: OptionNames<RequestOptions> = { signal: true, requestTimeoutMs: true };
const connection: OptionNames<ConnectionOptions> = {
  ...request,
  apiKey: true,
  apiUrl: true,
  webSocket: true,
  reconnect: true,
};
const fork: OptionNames<ForkOptions> = { ...connection, timeout: true, envs: true, metadata: true };
const wait: OptionNames<WaitOptions> = { ...request, timeoutMs: true };
const attachLimits: OptionNames<AttachLimits> = { ...request, reconnect: true };
const endings = {
  onExit: true,
  onScrollbackEnd: true,
  onGap: true,
  onDisconnect: true,
  onReconnect: true,
  onHibernate: true,
  onWake: true,
} as const;
const callbacks: OptionNames<SessionCallbacks> = { ...endings, onStdout: true, onStderr: true };
const agentCallbacks: OptionNames<AgentCallbacks> = { ...endings, onEvent: true, onError: true };
const agentConfig: OptionNames<AgentConfig> = {
  model: true,
  systemPrompt: true,
  allowedTools: true,
  disallowedTools: true,
  permissionMode: true,
  maxTurns: true,
  cwd: true,
  mcpServers: true,
  resume: true,
};
const size: OptionNames<TerminalSize> = { cols: true, rows: true };
const pty = { ...size, ...endings, ...attachLimits, onOutput: true } as const;
const shell: OptionNames<ShellOptions> = { ...attachLimits, cwd: true, env: true };
const run: OptionNames<RunOptions> = {
  ...wait,
  timeout: true,
  env: true,
  cwd: true,
  log: true,
  listed: true,
};
const start: OptionNames<ExecStartOptions> = {
  ...callbacks,
  ...attachLimits,
  args: true,
  env: true,
  cwd: true,
  timeout: true,
  maxRunAfterDisconnect: true,
  keepAwake: true,
  log: true,
  listed: true,
};
const create: OptionNames<SandboxOptions> = {
  ...connection,
  template: true,
  timeout: true,
  envs: true,
  metadata: true,
  cpuCount: true,
  memoryMB: true,
  diskMB: true,
};
const list: OptionNames<ListOptions> = {
  ...connection,
  status: true,
  metadata: true,
  limit: true,
  cursor: true,
};
const forkMany: OptionNames<ForkManyOptions> = { ...fork, count: true };
const forkSelf: OptionNames<ForkSelfOptions> = {
  ...request,
  timeout: true,
  envs: true,
  metadata: true,
  count: true,
  name: true,
};
const patch: OptionNames<PatchOptions> = { ...connection, script: true, description: true };
const checkpoint: OptionNames<CreateCheckpointOptions> = {
  ...request,
  kind: true,
  promoteToFull: true,
  requireQuiesced: true,
  retentionPolicy: true,
};
const wake: OptionNames<WakeOptions> = { ...request, timeout: true };
const signedUrl: OptionNames<SignedUrlOptions> = { ...request, expiresIn: true };
const attach: OptionNames<ExecAttachOptions> = { ...callbacks, ...attachLimits, from: true };
const shellRun: OptionNames<ShellRunOptions> = {
  onStdout: true,
  onStderr: true,
  signal: true,
  timeoutMs: true,
};
const ptyCreate: OptionNames<PtyOptions> = { ...pty, shell: true, env: true, cwd: true };
const ptyAttach: OptionNames<PtyAttachOptions> = { ...pty, from: true };
const agentStart: OptionNames<AgentStartOptions> = {
  ...agentConfig,
  ...agentCallbacks,
  ...attachLimits,
  prompt: true,
};
const agentAttach: OptionNames<AgentAttachOptions> = {
  ...agentCallbacks,
  ...attachLimits,
  from: true,
};
const reconnect: OptionNames<ReconnectOptions> = { timeoutMs: true, maxDelayMs: true };
const events: OptionNames<Pick<RequestOptions, 'signal'>> = { signal: true };

/** Which options the methods take, by kind. */
export const optionNames = {
  agentAttach,
  agentConfig,
  agentStart,
  attach,
  attachLimits,
  checkpoint,
  connection,
  create,
  events,
  fork,
  forkMany,
  forkSelf,
  list,
  patch,
  ptyAttach,
  ptyCreate,
  reconnect,
  request,
  run,
  shell,
  shellRun,
  signedUrl,
  size,
  start,
  wait,
  wake,
} as const;
