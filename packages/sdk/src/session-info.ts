/** An agent session, as `agent.list` returns it. */
export interface AgentSessionInfo {
  sessionID: string;
  sandboxID: string;
  running: boolean;
  /** Once it has ended. */
  exitCode?: number | undefined;
  /** RFC 3339. */
  startedAt: string;
  /** Clients that are attached now. */
  attachedClients: number;
}

/** A session, as `exec.list` and `pty.list` return it. */
export interface ExecSessionInfo extends AgentSessionInfo {
  command: string;
  args: string[];
}
