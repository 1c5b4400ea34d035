import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { LocalError } from '../output/errors.ts';

/** Programs of the platform, which exists beside oc only in a checkout. */
const modules = {
  up: '@opencomputer/standalone/up',
  stop: '@opencomputer/standalone/stop',
  doctor: '@opencomputer/standalone/doctor',
  keys: '@opencomputer/server/keys',
} as const;

function fileOf(module: string): string | undefined {
  try {
    return fileURLToPath(import.meta.resolve(module));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** The output that is read here is short. */
const maxOutput = 64 * 1024;

/**
 * Runs a program of the platform to its end. `collect` returns its standard output, `show` shows it.
 *
 * @throws LocalError where oc is installed without the platform
 */
export async function runPart(
  part: keyof typeof modules,
  args: readonly string[],
  output: 'collect' | 'show',
): Promise<{ exitCode: number; output: string }> {
  const path = fileOf(modules[part]);
  if (path === undefined)
    throw new LocalError('the platform is not installed with this oc', {
      hint: 'Run this in a checkout of OpenComputer, as ./oc.',
    });
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ['ignore', output === 'collect' ? 'pipe' : 'inherit', 'inherit'],
  });
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    text = (text + piece).slice(0, maxOutput);
  });
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
  return { exitCode, output: text };
}

/** The key in a file; undefined when this user may not read it, or it contains none. */
export async function readKeyFile(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim() || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return undefined;
    throw error;
  }
}
