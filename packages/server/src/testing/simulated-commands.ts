import { ApiError, type GuestExecRequest, type GuestExecResult } from '@opencomputer/protocol';

interface Running {
  result: GuestExecResult;
  readonly ended: Promise<void>;
}

const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');

/**
 * Commands of a simulated machine: `echo WORDS`, `overrun` (is killed by its timeout at once), `wait` (until `endWaits` is called), `exit N`, `bytes HEX`, `env NAME`, `pwd`, `count`,
 * which adds one to the counter in memory, and `bash -c "exit N"`, `bash -c "sleep S"`, `bash -c count`.
 */
export class SimulatedCommands {
  readonly #environment: Record<string, string>;
  readonly #memory: { count: number };
  readonly #commands = new Map<string, Running>();
  #lastEnd: number | undefined;
  /** How many commands were really started. */
  started = 0;

  readonly #waits = new Set<() => void>();

  /** Ends every command `wait`. */
  endWaits(): void {
    for (const end of this.#waits) end();
    this.#waits.clear();
  }

  /** How many run. */
  get running(): number {
    return [...this.#commands.values()].filter((command) => command.result.running).length;
  }

  /** Those that run, by id, and when the last other one ended (by `Date.now`). */
  get use(): { running: string[]; lastEnd: number | undefined } {
    const running = [...this.#commands].filter(([, command]) => command.result.running).map(([id]) => id);
    return { running, lastEnd: this.#lastEnd };
  }

  /** When the agent that keeps them was started. */
  agentStartedAt = Date.now();

  /** Forgets every command, as an agent that was restarted does. */
  forgetAll(): void {
    this.#commands.clear();
    this.agentStartedAt = Date.now();
  }

  constructor(environment: Record<string, string>, memory: { count: number } = { count: 0 }) {
    this.#environment = environment;
    this.#memory = memory;
  }

  async start(request: GuestExecRequest): Promise<GuestExecResult> {
    const id = request.id ?? '00000000';
    const [program = '', ...args] = request.argv;
    if (this.#commands.has(id)) throw new ApiError('guest_failed', `there is a command ${id} already`);
    this.started += 1;
    const startedAt = new Date().toISOString();
    const none = { signal: null, timedOut: false, truncated: false, stdout: '', stderr: '', startedAt };
    const result: GuestExecResult = { ...none, id, running: true, exitCode: null, durationMs: 0 };
    const command: Running = { result, ended: this.#run(program, args, request, result) };
    this.#commands.set(id, command);
    return this.result(id, request.waitMs ?? Infinity);
  }

  /** What `result` says; undefined when it is not known. */
  async find({ id = '', waitMs = 0 }: GuestExecRequest): Promise<GuestExecResult | undefined> {
    return this.#commands.has(id) ? this.result(id, waitMs) : undefined;
  }

  async result(id: string, waitMs: number): Promise<GuestExecResult> {
    const command = this.#commands.get(id);
    if (command === undefined) throw new ApiError('exec_not_found', `no command ${id}`);
    if (command.result.running && waitMs > 0) {
      let timer: NodeJS.Timeout | undefined;
      const waited = new Promise<void>((resolve) => {
        // Real time: how long a client waits for the result.
        if (waitMs !== Infinity) timer = setTimeout(resolve, waitMs);
      });
      await Promise.race([command.ended, waited]);
      clearTimeout(timer);
    }
    return command.result;
  }

  #run(program: string, args: string[], request: GuestExecRequest, result: GuestExecResult): Promise<void> {
    const finish = (exitCode: number, stdout: string | Buffer = '', stderr = ''): Promise<void> => {
      result.running = false;
      this.#lastEnd = Date.now();
      result.exitCode = exitCode;
      result.stdout = base64(stdout);
      result.stderr = base64(stderr);
      return Promise.resolve();
    };
    switch (program) {
      case 'echo':
        return finish(0, `${args.join(' ')}\n`);
      case 'exit':
        return finish(Number(args[0]), '', 'failed\n');
      case 'bytes':
        return finish(0, Buffer.from(args[0] ?? '', 'hex'));
      case 'env':
        return finish(0, { ...this.#environment, ...request.env }[args[0] ?? ''] ?? '');
      case 'bash':
        return this.#run(
          (args[1] ?? '').split(' ')[0] ?? '',
          (args[1] ?? '').split(' ').slice(1),
          request,
          result,
        );
      case 'count':
        this.#memory.count += 1;
        return finish(0, String(this.#memory.count));
      case 'pwd':
        return finish(0, request.cwd ?? '/home/sandbox');
      case 'flood':
        result.truncated = true;
        return finish(0, 'tail');
      case 'wait':
        return new Promise<void>((resolve) => this.#waits.add(resolve)).then(() => finish(0, 'waited\n'));
      case 'overrun':
        result.timedOut = true;
        return finish(-1, 'begun\n');
      default:
        throw new ApiError('command_not_started', `executable not found: ${program}`);
    }
  }
}
