import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../host/errors.ts';
import { programPath } from '../host/programs.ts';

/** What a finished command printed. */
export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Written to standard input, which is then closed. */
  input?: string;
  /** The process is killed after this many milliseconds. Default 15 000. */
  deadlineMs?: number;
  /** Exit codes that are not an error. Default only 0. */
  accept?: readonly number[];
}

/** A command that could not start, ran too long, or exited with an unexpected code. */
export class CommandError extends Error {
  readonly command: string;
  readonly code: number | undefined;
  readonly stderr: string;

  constructor(command: readonly string[], what: string, code: number | undefined, stderr: string) {
    const said = stderr.trim().slice(0, 1000);
    super(`${command.join(' ')}: ${what}${said === '' ? '' : `: ${said}`}`);
    this.name = 'CommandError';
    this.command = command.join(' ');
    this.code = code;
    this.stderr = stderr;
  }
}

const outputLimitBytes = 16 * 1024 * 1024;

const environment = { PATH: programPath, LC_ALL: 'C' };

/** Whether `run` would find a program. */
export function installed(program: string): boolean {
  return environment.PATH.split(':').some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Runs a program without a shell and waits for its end.
 * @throws CommandError when it cannot start, passes its deadline, prints over 16 MiB, or exits unexpectedly.
 */
export function run(command: readonly [string, ...string[]], options: RunOptions = {}): Promise<Finished> {
  const { input = '', deadlineMs = 15_000, accept = [0] } = options;
  const [program, ...rest] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { env: environment, stdio: ['pipe', 'pipe', 'pipe'], cwd: '/' });
    let fault: string | undefined;
    let size = 0;
    const stop = (why: string): void => {
      fault ??= why;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => stop(`no end after ${deadlineMs} ms`), deadlineMs);
    const collect = (stream: NodeJS.ReadableStream): Buffer[] => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > outputLimitBytes) stop(`printed more than ${outputLimitBytes} bytes`);
        else chunks.push(chunk);
      });
      return chunks;
    };
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    // A command may end before it reads its input; its exit code shows what went wrong.
    child.stdin.on('error', (error) => {
      if (systemErrorCode(error) !== 'EPIPE') stop(`its input failed: ${error.message}`);
    });
    child.stdin.end(input);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new CommandError(command, error.message, undefined, ''));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const errors = Buffer.concat(stderr).toString();
      if (fault !== undefined) reject(new CommandError(command, fault, undefined, errors));
      else if (code === null) reject(new CommandError(command, `killed by ${signal}`, undefined, errors));
      else if (accept.includes(code))
        resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: errors });
      else reject(new CommandError(command, `exit code ${code}`, code, errors));
    });
  });
}
