import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { atMostMoreMs, compare, type Finding } from '../finding.ts';
import { runInSandbox } from './commands.ts';
import { type Context, timed } from './context.ts';

const root = join(import.meta.dirname, '../..');
const warmUps = 5;
const rounds = 100;
const quickRounds = 30;
const commands = [
  { line: 'true', prints: '' },
  { line: 'echo hello', prints: 'hello\n' },
] as const;
const forms = ['async', 'sync'] as const;

/** A Python process with both forms of the client, connected to a sandbox. */
class PythonClient implements AsyncDisposable {
  readonly #child;
  readonly #answers;
  readonly #closed: Promise<number | null>;
  #complaints = '';

  private constructor(interpreter: string, sandboxId: string, env: Record<string, string>) {
    this.#child = spawn(interpreter, [join(root, 'bench/python/round_trips.py'), sandboxId], {
      env: { ...process.env, ...env, PYTHONPATH: join(root, 'sdk-python/src') },
    });
    this.#child.stderr.on('data', (data: Buffer) => (this.#complaints += String(data)));
    // What is written to a process that has ended shows in the answer that does not come.
    this.#child.stdin.on('error', (error) => (this.#complaints += error.message));
    this.#closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  static async start(sandboxId: string, env: Record<string, string>): Promise<PythonClient> {
    const lock = join(root, 'tests/conformance/clients/python/ours.lock');
    const { stdout } = await promisify(execFile)(join(root, 'scripts/python-environment.sh'), [lock]);
    return new PythonClient(stdout.trim(), sandboxId, env);
  }

  /** Milliseconds of one command. */
  async run(form: (typeof forms)[number], line: string, prints: string): Promise<number> {
    this.#child.stdin.write(`${JSON.stringify([form, line, prints])}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true)
      throw new Error(`the Python client ended with ${await this.#closed}: ${this.#complaints}`);
    return Number(value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#closed;
  }
}

/** Round trip of a command with the Python client, beside the TypeScript client on the same sandbox. */
export async function measurePython({ platform, options, say }: Context): Promise<Finding[]> {
  await using stack = new AsyncDisposableStack();
  const sandbox = await platform.createSandbox();
  stack.defer(() => sandbox.kill());
  const { apiUrl, apiKey } = platform.connection;
  const env = { OPENCOMPUTER_API_URL: apiUrl, OPENCOMPUTER_API_KEY: apiKey };
  const python = stack.use(await PythonClient.start(sandbox.sandboxId, env));
  await platform.rest();

  const findings: Finding[] = [];
  for (const { line, prints } of commands) {
    say(`command round trip from Python: ${line}`);
    const times: Record<'typescript' | (typeof forms)[number], number[]> = {
      typescript: [],
      async: [],
      sync: [],
    };
    const count = options.quick ? quickRounds : rounds;
    for (let round = -warmUps; round < count; round++) {
      const { ms } = await timed(() => runInSandbox(sandbox, line, prints));
      if (round >= 0) times.typescript.push(ms);
      for (const form of forms) {
        const time = await python.run(form, line, prints);
        if (round >= 0) times[form].push(time);
      }
    }
    for (const form of forms)
      findings.push(
        compare(
          { group: 'python', name: `command \`${line}\`, Python ${form}`, unit: 'ms' },
          times[form],
          times.typescript,
          ...(form === 'async' ? [atMostMoreMs(3)] : []),
        ),
      );
  }
  return findings;
}
