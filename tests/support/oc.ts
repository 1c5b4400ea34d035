import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';

const root = join(import.meta.dirname, '../..');

/** What a command printed, and how it ended. */
export interface Outcome {
  exitCode: number;
  stdout: Buffer;
  stderr: string;
}

/** `oc` of this checkout with a home of its own, for the platform that tests share. */
export class Oc {
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;

  private constructor(home: string, env: NodeJS.ProcessEnv) {
    this.home = home;
    this.env = env;
  }

  /** @param owner whose key it has: those of the second one see none of what other tests make */
  static async make(owner: 'key' | 'secondKey' = 'key'): Promise<Oc> {
    const home = await mkdtemp(join(tmpdir(), 'oc-home-'));
    const { url, dataDir, [owner]: key } = inject('platform');
    // `oc` is found by this name, as people find it.
    await writeFile(join(home, 'oc'), `#!/bin/sh\nexec ${join(root, 'oc')} "$@"\n`);
    await chmod(join(home, 'oc'), 0o755);
    return new Oc(home, {
      PATH: `${home}:${process.env['PATH']}`,
      HOME: home,
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      TERM: 'xterm-256color',
      OPENCOMPUTER_API_URL: url,
      OPENCOMPUTER_API_KEY: key,
      OPENCOMPUTER_DATA_DIR: dataDir,
      OPENCOMPUTER_LISTEN: new URL(url).host,
    });
  }

  /** Starts `oc` without waiting. */
  spawn(...args: string[]): ChildProcessWithoutNullStreams {
    return spawn(join(root, 'oc'), args, { cwd: this.home, env: this.env });
  }

  run(...args: string[]): Promise<Outcome> {
    return outcomeOf(this.spawn(...args));
  }

  runWithInput(input: string | Uint8Array, ...args: string[]): Promise<Outcome> {
    const child = this.spawn(...args);
    child.stdin.end(input);
    return outcomeOf(child);
  }

  /** A line of shell in which `oc` is a command. */
  shell(line: string, cwd = this.home): Promise<Outcome> {
    return outcomeOf(spawn('sh', ['-c', line], { cwd, env: this.env }));
  }

  async remove(): Promise<void> {
    await rm(this.home, { recursive: true, force: true });
  }
}

/** Waits for the end of a program. */
export async function outcomeOf(child: ChildProcessWithoutNullStreams): Promise<Outcome> {
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => stdout.push(data));
  child.stderr.setEncoding('utf8').on('data', (data: string) => (stderr += data));
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? (signal === null ? -1 : -2)));
  });
  return { exitCode, stdout: Buffer.concat(stdout), stderr };
}
