import { Agent, request } from 'node:http';
import { guestExecResultSchema, workerPaths } from '@opencomputer/protocol';
import { atMostMoreMs, compare, type Finding } from '../finding.ts';
import { assertResult, guestRequest, runDirectly, runInSandbox } from './commands.ts';
import { type Context, timed } from './context.ts';

const warmUps = 3;
const rounds = 60;
const quickRounds = 20;

const commands = [
  { line: 'true', prints: '' },
  { line: 'echo hello', prints: 'hello\n' },
] as const;

/** Calls the worker without the server, to tell apart where time goes. */
class WorkerCaller {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async run(id: string, line: string, expected: string): Promise<void> {
    const text = JSON.stringify(guestRequest(line));
    const body = await new Promise<string>((resolve, reject) => {
      const call = request(
        {
          socketPath: this.#socketPath,
          agent: this.#agent,
          method: 'POST',
          path: workerPaths.exec(id),
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
        },
        (answer) => {
          const parts: Buffer[] = [];
          answer.on('data', (part: Buffer) => parts.push(part));
          answer.once('end', () => resolve(Buffer.concat(parts).toString('utf8')));
          answer.once('error', reject);
        },
      );
      call.once('error', reject);
      call.end(text);
    });
    assertResult(line, expected, guestExecResultSchema.parse(JSON.parse(body)));
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Round trip of a command in a warm machine. */
export async function measureExec({ platform, bare, options, say }: Context): Promise<Finding[]> {
  await using stack = new AsyncDisposableStack();
  const sandbox = await platform.createSandbox();
  stack.defer(() => sandbox.kill());
  const machine = await bare.start();
  stack.defer(() => machine.end());
  const worker = new WorkerCaller(platform.workerSocket);
  stack.defer(() => worker.close());
  await platform.rest();

  const findings: Finding[] = [];
  for (const { line, prints } of commands) {
    say(`command round trip: ${line}`);
    const through = {
      sdk: () => runInSandbox(sandbox, line, prints),
      worker: () => worker.run(sandbox.sandboxId, line, prints),
      agent: () => runDirectly(machine.channel, line, prints),
    };
    const times: Record<keyof typeof through, number[]> = { sdk: [], worker: [], agent: [] };
    const count = options.quick ? quickRounds : rounds;
    for (let round = -warmUps; round < count; round++) {
      for (const way of ['sdk', 'agent', 'worker'] as const) {
        const { ms } = await timed(through[way]);
        if (round >= 0) times[way].push(ms);
      }
    }
    findings.push(
      compare(
        { group: 'exec', name: `command \`${line}\``, unit: 'ms' },
        times.sdk,
        times.agent,
        atMostMoreMs(6),
      ),
      compare(
        { group: 'exec', name: `command \`${line}\`, worker and agent only`, unit: 'ms' },
        times.worker,
        times.agent,
      ),
    );
  }
  return findings;
}
