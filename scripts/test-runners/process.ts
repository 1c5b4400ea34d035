import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './outcome.ts';

/** The root of the repository. */
export const root = join(import.meta.dirname, '../..');

/** Runs a program to its end with its output shown, and gives its exit code; 1 if a signal ended it. */
export function run(program: string, args: readonly string[], cwd = root): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** Runs a check that has no tests of its own; it counts as one. */
export async function runCheck(program: string, args: readonly string[], cwd?: string): Promise<Outcome> {
  const code = await run(program, args, cwd);
  return code === 0
    ? { passed: 1, skipped: 0, failures: [] }
    : {
        passed: 0,
        skipped: 0,
        failures: [{ name: [program, ...args].join(' '), message: `exited with ${code}` }],
      };
}

/** Lends a directory for a report. */
export async function withDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'opencomputer-test-'));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
