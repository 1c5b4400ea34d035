import { checkOptions } from './check-options.ts';
import { requestOptions } from './config.ts';
import { OpenComputerError } from './errors.ts';
import { optionNames } from './option-names.ts';
import { AgentSession } from './agent-session.ts';
import type { RequestOptions } from './config.ts';
import type { AgentCallbacks, AgentConfig } from './agent-session.ts';
import type { AttachLimits } from './exec-session.ts';
import type { SessionApi } from './sessions.ts';
import type { AgentSessionInfo } from './session-info.ts';
import type { WireStartAgent } from './wire.ts';

/** Options of `agent.start`. */
export interface AgentStartOptions extends AgentConfig, AgentCallbacks, AttachLimits {
  /** Its first prompt. */
  prompt?: string | undefined;
}

/** Options of `agent.attach`. */
export interface AgentAttachOptions extends AgentCallbacks, AttachLimits {
  /** Offset in the output at which to begin: `session.offset` of an earlier attachment. Default 0: all that is kept. */
  from?: number | undefined;
}

/** Coding agents in a sandbox: `sandbox.agent`. */
export class Agent {
  readonly #api: SessionApi;

  /** Internal: use `sandbox.agent`. */
  constructor(api: SessionApi) {
    this.#api = api;
  }

  /**
   * Starts an agent. It needs its credentials in the sandbox's `envs`, such as `ANTHROPIC_API_KEY`, and lives until
   * it is killed: after each prompt it waits for the next.
   *
   * @throws InvalidRequestError, LimitError, SandboxStoppedError, ConnectionError
   * @example
   * const agent = await sandbox.agent.start({
   *   prompt: 'Write a hello world in C and run it',
   *   onEvent: (event) => console.log(event.type),
   * });
   */
  async start(options: AgentStartOptions = {}): Promise<AgentSession> {
    checkOptions('agent.start', options, optionNames.agentStart);
    const request: WireStartAgent = {
      prompt: options.prompt,
      model: options.model,
      systemPrompt: options.systemPrompt,
      allowedTools: options.allowedTools,
      disallowedTools: options.disallowedTools,
      permissionMode: options.permissionMode,
      maxTurns: options.maxTurns,
      cwd: options.cwd,
      mcpServers: options.mcpServers,
      resume: options.resume,
    };
    const sessionId = await this.#api.create('agent', request, options);
    try {
      return await AgentSession.open(this.#api, sessionId, options);
    } catch (error) {
      if (error instanceof OpenComputerError) error.details['sessionId'] = sessionId;
      throw error;
    }
  }

  /**
   * Attaches to an agent by its id, with the events so far.
   *
   * @throws NotFoundError when no session has this id
   * @example
   * const again = await sandbox.agent.attach(agent.sessionId, { onEvent: show });
   */
  async attach(sessionId: string, options: AgentAttachOptions = {}): Promise<AgentSession> {
    checkOptions('agent.attach', options, optionNames.agentAttach);
    return AgentSession.open(this.#api, sessionId, options);
  }

  /** Lists the agents of the sandbox. */
  async list(options: RequestOptions = {}): Promise<AgentSessionInfo[]> {
    return (await this.#api.list('agent', requestOptions('agent.list', options))) as AgentSessionInfo[];
  }
}
