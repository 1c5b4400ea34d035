import type { Sandbox, AgentEvent, AgentSession, AgentStartOptions } from '../../packages/sdk/src/index.ts';
import { eventually } from '@opencomputer/testing/eventually';

/** How long a turn may take: an agent of some hundred megabytes starts in an emulated machine. */
export const turnMs = 300_000;

const ends = ['turn_complete', 'interrupted', 'error'];

/** An agent session, with everything it has told. */
export class TestAgent {
  readonly events: AgentEvent[] = [];
  /** What it wrote to stderr. */
  diagnostics = '';
  exitCode: number | undefined;
  #session: AgentSession | undefined;
  #taken = 0;

  static async start(sandbox: Sandbox, options: AgentStartOptions = {}): Promise<TestAgent> {
    const agent = new TestAgent();
    agent.#session = await sandbox.agent.start({ ...options, ...agent.#callbacks() });
    return agent;
  }

  static async attach(sandbox: Sandbox, sessionId: string): Promise<TestAgent> {
    const agent = new TestAgent();
    agent.#session = await sandbox.agent.attach(sessionId, agent.#callbacks());
    return agent;
  }

  get session(): AgentSession {
    if (this.#session === undefined) throw new Error('the session is not open');
    return this.#session;
  }

  get types(): string[] {
    return this.events.map(({ type }) => type);
  }

  /** Waits for an event among those that `turn` has not returned yet. */
  event(type: string): Promise<AgentEvent> {
    return eventually(
      `${type}; ${this.diagnostics}`,
      () => this.events.slice(this.#taken).find((event) => event.type === type),
      { withinMs: turnMs },
    );
  }

  /** Waits for the next event that ends a turn, and returns what came since the last one. */
  async turn(): Promise<AgentEvent[]> {
    const from = this.#taken;
    const end = await eventually(
      'the end of a turn',
      () => {
        const index = this.events.findIndex(({ type }, place) => place >= from && ends.includes(type));
        if (index < 0) throw new Error(`only ${this.types.slice(from).join()}; ${this.diagnostics}`);
        return index + 1;
      },
      { withinMs: turnMs },
    );
    this.#taken = end;
    return this.events.slice(from, end);
  }

  /** Waits until it has ended. */
  async ended(): Promise<number> {
    const [code] = await eventually(
      'the end of the session',
      () => (this.exitCode === undefined ? undefined : [this.exitCode]),
      { withinMs: turnMs },
    );
    return code ?? -1;
  }

  #callbacks() {
    return {
      onEvent: (event: AgentEvent) => {
        this.events.push(event);
      },
      onError: (text: string) => {
        this.diagnostics += text;
      },
      onExit: (exitCode: number) => {
        this.exitCode = exitCode;
      },
    };
  }
}
