/** What the scenarios use of a client for commands that they attach to. Both clients have it under the same names. */
export interface LiveExec {
  start(command: string, options?: StartOptions): Promise<LiveSession>;
  background(command: string, options?: StartOptions): Promise<LiveSession>;
  attach(sessionId: string, options?: AttachOptions): Promise<LiveSession>;
  list(): Promise<ListedSession[]>;
  kill(sessionId: string, signal?: number): Promise<void>;
  shell(options?: { cwd?: string; env?: Record<string, string> }): Promise<LiveShell>;
  reattachShell(sessionId: string): Promise<LiveShell>;
}

export interface AttachOptions {
  onStdout?: (data: Uint8Array) => void;
  onStderr?: (data: Uint8Array) => void;
  onExit?: (exitCode: number) => void;
  onScrollbackEnd?: () => void;
  /** Beyond the published client. */
  from?: number;
  /** Beyond the published client. */
  onGap?: (bytes: number) => void;
}

export interface StartOptions extends AttachOptions {
  args?: string[];
  env?: Record<string, string>;
  cwd?: string;
  timeout?: number;
  maxRunAfterDisconnect?: number;
}

export interface LiveSession {
  readonly sessionId: string;
  readonly done: Promise<number>;
  sendStdin(data: string | Uint8Array): unknown;
  kill(signal?: number): Promise<void>;
  close(): void;
  /** Beyond the published client. */
  closeStdin?(): Promise<void>;
  /** Beyond the published client. */
  readonly offset?: number;
}

export interface ListedSession {
  sessionID: string;
  sandboxID: string;
  command: string;
  args: string[];
  running: boolean;
  exitCode?: number | undefined;
  startedAt: string;
  attachedClients: number;
}

export interface LiveShell {
  readonly sessionId: string;
  run(
    command: string,
    options?: { onStdout?: (data: Uint8Array) => void; onStderr?: (data: Uint8Array) => void },
  ): Promise<{ exitCode: number; stdout: string; stderr: string }>;
  close(): Promise<void>;
}

export interface LivePty {
  create(options?: {
    cols?: number;
    rows?: number;
    onOutput?: (data: Uint8Array) => void;
  }): Promise<LiveTerminal>;
  /** Beyond the published client. */
  attach?(
    sessionId: string,
    options?: { cols?: number; rows?: number; onOutput?: (data: Uint8Array) => void },
  ): Promise<LiveTerminal>;
  /** Beyond the published client. */
  list?(): Promise<ListedSession[]>;
}

export interface LiveTerminal {
  readonly sessionId: string;
  send(data: string | Uint8Array): unknown;
  close(): void;
  /** Beyond the published client. */
  readonly done?: Promise<number>;
  /** Beyond the published client. */
  resize?(size: { cols: number; rows: number }): Promise<void>;
  /** Beyond the published client. */
  kill?(): Promise<void>;
}

export interface AgentEvent {
  type: string;
  [key: string]: unknown;
}

export interface AgentListeners {
  onEvent?: (event: AgentEvent) => void;
  onError?: (text: string) => void;
  onExit?: (exitCode: number) => void;
  onScrollbackEnd?: () => void;
}

export interface LiveAgents {
  start(
    options?: AgentListeners & { prompt?: string; model?: string; maxTurns?: number },
  ): Promise<LiveAgent>;
  attach(sessionId: string, options?: AgentListeners): Promise<LiveAgent>;
  list(): Promise<{ sessionID: string; running: boolean }[]>;
}

export interface LiveAgent {
  readonly sessionId: string;
  readonly done: Promise<number>;
  sendPrompt(text: string): unknown;
  interrupt(): unknown;
  configure(config: { model?: string; maxTurns?: number }): unknown;
  kill(signal?: number): Promise<void>;
  close(): void;
}
