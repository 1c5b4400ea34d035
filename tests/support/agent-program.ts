import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import type { TestSandbox } from './api.ts';
import { eventually } from './eventually.ts';

/** A line of an agent's output. */
export interface AgentEvent {
  type: string;
  [field: string]: unknown;
}

/** How long a turn may take: an agent of some hundred megabytes starts in an emulated machine. */
export const turnMs = 300_000;

/** A program that speaks the JSON lines of agent sessions, run in a sandbox with its input held open. */
export class AgentProgram {
  readonly #sandbox: TestSandbox;
  readonly #dir: string;

  private constructor(sandbox: TestSandbox, dir: string) {
    this.#sandbox = sandbox;
    this.#dir = dir;
  }

  /** @param name of a new folder below /tmp for its input and output */
  static async start(
    sandbox: TestSandbox,
    name: string,
    command: string,
    envs: Record<string, string> = {},
  ): Promise<AgentProgram> {
    const dir = `/tmp/${name}`;
    const line = `echo $$ > ${dir}/pid; ${command} < ${dir}/in > ${dir}/out 2> ${dir}/err; echo $? > ${dir}/code`;
    await sandbox.output(
      `mkdir ${dir} && mkfifo ${dir}/in
      setsid sh -c '${line}' </dev/null >/dev/null 2>&1 &
      setsid sleep infinity > ${dir}/in 2>/dev/null & echo $! > ${dir}/writer`,
      { envs },
    );
    return new AgentProgram(sandbox, dir);
  }

  async send(value: unknown): Promise<void> {
    const LINE = typeof value === 'string' ? value : JSON.stringify(value);
    await this.#sandbox.output(`printf '%s\\n' "$LINE" > ${this.#dir}/in`, { envs: { LINE } });
  }

  /** Everything it has written so far, whole lines only. */
  async events(): Promise<AgentEvent[]> {
    const text = (await this.#sandbox.read(`${this.#dir}/out`)).toString('utf8');
    const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as AgentEvent);
  }

  /** Waits for the first event after so many others that ends a turn, and returns all from there to it. */
  async turn(after: number): Promise<AgentEvent[]> {
    return eventually(
      'the end of a turn',
      async () => {
        const events = (await this.events()).slice(after);
        const end = events.findIndex(({ type }) => ['turn_complete', 'interrupted', 'error'].includes(type));
        if (end < 0)
          throw new Error(`so far ${JSON.stringify(events).slice(-2000)}; ${await this.diagnostics()}`);
        return events.slice(0, end + 1);
      },
      { withinMs: turnMs, everyMs: 1000 },
    );
  }

  /** Waits for so many events. */
  async count(events: number): Promise<AgentEvent[]> {
    return eventually(
      `${events} events`,
      async () => {
        const found = await this.events();
        return found.length >= events ? found : undefined;
      },
      { withinMs: turnMs, everyMs: 500 },
    );
  }

  async diagnostics(): Promise<string> {
    return (await this.#sandbox.read(`${this.#dir}/err`)).toString('utf8');
  }

  /** Ends its input. */
  async end(): Promise<void> {
    await this.#sandbox.output(`kill $(cat ${this.#dir}/writer)`);
  }

  /** Waits until it has ended, and returns its exit code. */
  async exitCode(): Promise<number> {
    const text = await eventually(
      'the end of the program',
      () => this.#sandbox.output(`cat ${this.#dir}/code`),
      { withinMs: turnMs, everyMs: 500 },
    );
    return Number(text);
  }
}

/** The model that does as it is told, inside a sandbox. */
export class ModelEndpoint {
  static readonly url = 'http://127.0.0.1:18080';
  static readonly #log = '/tmp/model-requests';

  static async start(sandbox: TestSandbox): Promise<ModelEndpoint> {
    const source = await readFile(join(import.meta.dirname, 'model-endpoint.ts'), 'utf8');
    await sandbox.write('/tmp/model-endpoint.mjs', stripTypeScriptTypes(source));
    const { port } = new URL(this.url);
    await sandbox.output(
      `setsid node /tmp/model-endpoint.mjs ${port} ${this.#log} </dev/null >/tmp/model-endpoint.log 2>&1 &
      for i in $(seq 600); do grep -q listening /tmp/model-endpoint.log && exit 0; sleep 0.1; done
      cat /tmp/model-endpoint.log; exit 1`,
    );
    return new ModelEndpoint(sandbox);
  }

  readonly #sandbox: TestSandbox;

  private constructor(sandbox: TestSandbox) {
    this.#sandbox = sandbox;
  }

  /** What agents asked of it with tools at hand, the oldest first. */
  async requests(): Promise<
    { key: string; model: string; tools: string[]; system: string; prompts: string[] }[]
  > {
    const lines = await this.#sandbox.output(`cat ${ModelEndpoint.#log}`);
    const requests = lines.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    return requests.filter(({ tools }) => Array.isArray(tools) && tools.length > 0) as never;
  }
}
