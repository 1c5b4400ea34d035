const request = { signal: true, requestTimeoutMs: true } as const;
const connection = {
  ...request,
  apiKey: true,
  apiUrl: true,
  webSocket: true,
  reconnect: true,
} as const;
const fork = { ...connection, timeout: true, envs: true, metadata: true } as const;
const wait = { ...request, timeoutMs: true } as const;
const attachLimits = { ...request, reconnect: true } as const;
const endings = {
  onExit: true,
  onScrollbackEnd: true,
  onGap: true,
  onDisconnect: true,
  onReconnect: true,
  onHibernate: true,
  onWake: true,
} as const;
const callbacks = { ...endings, onStdout: true, onStderr: true } as const;
const agentCallbacks = { ...endings, onEvent: true, onError: true } as const;
const agentConfig = {
  model: true,
  systemPrompt: true,
  allowedTools: true,
  disallowedTools: true,
  permissionMode: true,
  maxTurns: true,
  cwd: true,
  mcpServers: true,
  resume: true,
} as const;
const size = { cols: true, rows: true } as const;
const pty = { ...size, ...endings, ...attachLimits, onOutput: true } as const;
const shell = { ...attachLimits, cwd: true, env: true } as const;
const run = {
  ...wait,
  timeout: true,
  env: true,
  cwd: true,
  log: true,
  listed: true,
} as const;
const start = {
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
} as const;
const create = {
  ...connection,
  template: true,
  timeout: true,
  envs: true,
  metadata: true,
  cpuCount: true,
  memoryMB: true,
  diskMB: true,
} as const;
const list = {
  ...connection,
  status: true,
  metadata: true,
  limit: true,
  cursor: true,
} as const;
const forkMany = { ...fork, count: true } as const;
const forkSelf = {
  ...request,
  timeout: true,
  envs: true,
  metadata: true,
  count: true,
  name: true,
} as const;
const patch = { ...connection, script: true, description: true } as const;
const checkpoint = {
  ...request,
  kind: true,
  promoteToFull: true,
  requireQuiesced: true,
  retentionPolicy: true,
} as const;
const wake = { ...request, timeout: true } as const;
const signedUrl = { ...request, expiresIn: true } as const;
const attach = { ...callbacks, ...attachLimits, from: true } as const;
const shellRun = {
  onStdout: true,
  onStderr: true,
  signal: true,
  timeoutMs: true,
} as const;
const ptyCreate = { ...pty, shell: true, env: true, cwd: true } as const;
const ptyAttach = { ...pty, from: true } as const;
const agentStart = {
  ...agentConfig,
  ...agentCallbacks,
  ...attachLimits,
  prompt: true,
} as const;
const agentAttach = {
  ...agentCallbacks,
  ...attachLimits,
  from: true,
} as const;
const reconnect = { timeoutMs: true, maxDelayMs: true } as const;
const events = { signal: true } as const;

/** Which options the methods take, by kind; `checkOptions` compares them with the types. */
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
