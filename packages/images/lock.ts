import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

/** A held lock. Children that inherit `fd` keep it until they end, even if this process dies. */
export type Lock = AsyncDisposable & { fd: number };

/**
 * Takes the exclusive lock on a file, and waits while another process holds it; `onWait` is called once before waiting.
 * The kernel releases the lock when its last holder ends, so no lock is ever stale.
 */
export async function takeLock(file: string, onWait: () => void, signal?: AbortSignal): Promise<Lock> {
  const handle = await open(file, 'a');
  try {
    if (!(await tryLock(handle, ['--nonblock'], signal))) {
      onWait();
      await tryLock(handle, [], signal);
    }
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { fd: handle.fd, [Symbol.asyncDispose]: () => handle.close() };
}

/** flock(1) locks the open file that it inherits, which stays locked in this process. */
async function tryLock(handle: FileHandle, options: string[], signal?: AbortSignal): Promise<boolean> {
  const child = spawn('flock', ['--exclusive', ...options, '3'], {
    stdio: ['ignore', 'ignore', 'inherit', handle.fd],
    ...(signal && { signal }),
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code === 0) return true;
  if (code === 1 && options.includes('--nonblock')) return false;
  throw new Error(`flock failed with exit code ${code}`);
}
