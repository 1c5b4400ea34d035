import { checkOptions } from './check-options.ts';
import { requestOptions } from './config.ts';
import { ExecSession } from './exec-session.ts';
import { JsonLines } from './json-lines.ts';
import { notify } from './connection/notify.ts';
import { optionNames } from './option-names.ts';
import type { RequestOptions } from './config.ts';
import type { ExecAttachOptions, SessionCallbacks } from './exec-session.ts';
import type { SessionApi } from './sessions.ts';

/** A program that provides tools to an agent, started in the sandbox. */
export interface McpServerConfig {
  command: string;
  args?: string[] | undefined;
  env?: Record<string, string> | undefined;
}

/** How an agent works. */
export interface AgentConfig {
  model?: string | undefined;
  systemPrompt?: string | undefined;
  allowedTools?: string[] | undefined;
  disallowedTools?: string[] | undefined;
  /** Such as `bypassPermissions`, the default. */
  permissionMode?: string | undefined;
  /** Turns of the model within one prompt. Default 50. */
  maxTurns?: number | undefined;
  cwd?: string | undefined;
  mcpServers?: Record<string, McpServerConfig> | undefined;
  /** Conversation to continue: `claude_session_id` of a `turn_complete`. */
  resume?: string | undefined;
}

/** An event of an agent. Agents may send further types and members. */
export interface AgentEvent {
  type:
    | 'ready'
    | 'configured'
    | 'system'
    | 'assistant'
    | 'user'
    | 'tool_use_summary'
    | 'result'
    | 'turn_complete'
    | 'interrupted'
    | 'error'
    | (string & {});
  [key: string]: unknown;
}

/** Callbacks of an agent session. */
export interface AgentCallbacks extends Pick<
  SessionCallbacks,
  'onExit' | 'onScrollbackEnd' | 'onGap' | 'onDisconnect' | 'onReconnect' | 'onHibernate' | 'onWake'
> {
  onEvent?: ((event: AgentEvent) => void) | undefined;
  /** What it prints to stderr, and lines that are not events. */
  onError?: ((text: string) => void) | undefined;
}

/** A running agent, and the connection to it. The agent goes on when the connection is closed or lost. */
export class AgentSession {
  readonly #api: SessionApi;
  readonly #session: ExecSession;

  private constructor(api: SessionApi, session: ExecSession) {
    this.#api = api;
    this.#session = session;
  }

  /** Internal: use `agent.start` or `agent.attach`. */
  static async open(
    api: SessionApi,
    sessionId: string,
    options: AgentCallbacks & ExecAttachOptions,
  ): Promise<AgentSession> {
    const { onEvent, onError, onExit, ...rest } = options;
    const lines = new JsonLines({
      object: (value) => notify(onEvent, { type: '', ...value }),
      other: (line) => notify(onError, `non-JSON stdout: ${line}`),
    });
    const errors = new TextDecoder();
    const session = await ExecSession.open(api, sessionId, {
      ...rest,
      onStdout: (data) => lines.push(data),
      onStderr: (data) => notify(onError, errors.decode(data, { stream: true })),
      onExit: (exitCode) => {
        lines.end();
        notify(onExit, exitCode);
      },
    });
    return new AgentSession(api, session);
  }

  /** For `agent.attach`, also from another process. */
  get sessionId(): string {
    return this.#session.sessionId;
  }

  /**
   * The exit code of the agent, which lives until it is killed; -1 when it was closed here. Rejects when the
   * connection is lost for good.
   */
  get done(): Promise<number> {
    return this.#session.done;
  }

  /** Offset in the output: `agent.attach(sessionId, { from: offset })` goes on there. */
  get offset(): number {
    return this.#session.offset;
  }

  /** Sends it a prompt. Resolves when it has the prompt; the event `turn_complete` says that it is done. */
  sendPrompt(text: string): Promise<void> {
    return this.#send({ type: 'prompt', text });
  }

  /** Interrupts the current turn; the event `interrupted` says that it has stopped. */
  interrupt(): Promise<void> {
    return this.#send({ type: 'interrupt' });
  }

  /** Changes how it works from the next prompt on. */
  configure(config: AgentConfig): Promise<void> {
    checkOptions('agent.configure', config, optionNames.agentConfig);
    return this.#send({ type: 'configure', ...config });
  }

  /**
   * Ends it.
   *
   * @param signal - number; default 9 (KILL)
   */
  async kill(signal?: number, options: RequestOptions = {}): Promise<void> {
    await this.#api.kill('agent', this.sessionId, signal, requestOptions('agent.kill', options));
  }

  /** Detaches from the agent, which goes on. */
  close(): void {
    this.#session.close();
  }

  #send(command: object): Promise<void> {
    return this.#session.sendStdin(`${JSON.stringify(command)}\n`);
  }
}
