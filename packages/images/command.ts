import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { WriteStream } from 'node:fs';

/** What every command of one build shares. */
export interface CommandContext {
  /** Receives the command lines and everything they print. */
  log: WriteStream;
  /** Kept open by the commands, so that they still hold the build's lock when the builder is killed. */
  lockFd: number;
  signal?: AbortSignal | undefined;
}

export interface CommandOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Called for every line of output. */
  onLine?: (line: string) => void;
}

/** Runs a program to its end. @returns its standard output @throws Error when it fails */
export async function runCommand(
  context: CommandContext,
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  context.log.write(`$ ${[program, ...args].join(' ')}\n`);
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe', context.lockFd],
    ...(context.signal && { signal: context.signal, killSignal: 'SIGKILL' as const }),
  });
  const { stdout, stderr } = child;
  if (!stdout || !stderr) throw new Error(`${program}: no pipes for its output`);
  const output: string[] = [];
  const errors: string[] = [];
  const collect = async (stream: NodeJS.ReadableStream, lines: string[]): Promise<void> => {
    for await (const line of createInterface({ input: stream })) {
      context.log.write(`${line}\n`);
      lines.push(line);
      options.onLine?.(line);
    }
  };
  let failure: Error | undefined;
  child.on('error', (error) => (failure = error));
  // Waits after an abort, too: the program and its children must be gone before the caller cleans up.
  const [[code, signal]] = await Promise.all([
    new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
      child.on('close', (...ending) => resolve(ending));
    }),
    collect(stdout, output),
    collect(stderr, errors),
  ]);
  if (failure && 'code' in failure && failure.code === 'ENOENT') {
    throw new Error(`${program} is not installed`, { cause: failure });
  }
  if (failure) throw context.signal?.reason ?? failure;
  if (code !== 0) {
    const why = errors.slice(-5).join('; ') || output.slice(-5).join('; ');
    throw new Error(`${program} failed (${code === null ? signal : `exit code ${code}`}): ${why}`);
  }
  return output.join('\n');
}
