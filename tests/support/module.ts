import { spawn } from 'node:child_process';
import { join } from 'node:path';

const withinMs = 120_000;

/**
 * Runs a program of this repository to its end, with nothing in the environment that could lead it elsewhere.
 * @param path From the root of the repository.
 * @returns exit code and all that it printed
 * @throws Error when it has not ended after two minutes
 */
export async function runToEnd(
  path: string,
  env: Record<string, string>,
  options: { signal?: AbortSignal } = {},
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../..', path)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const stop = (): void => void child.kill('SIGTERM');
  options.signal?.addEventListener('abort', stop, { once: true });
  let late = false;
  // Real time: what hangs is ended.
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGTERM');
  }, withinMs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  clearTimeout(timer);
  options.signal?.removeEventListener('abort', stop);
  if (late) throw new Error(`${path} has not ended after ${withinMs / 1000} s:\n${output.slice(-2000)}`);
  return { code, output };
}
