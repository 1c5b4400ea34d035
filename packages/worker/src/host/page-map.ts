import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { errorText } from './errors.ts';
import { programPath } from './programs.ts';

const pageBytes = 4096;
const entryBytes = 8;
const answerTimeoutMs = 5000;
/** Bit 63 of an entry: the page is in memory. */
const presentBit = 1n << 63n;

/**
 * Tries with a child process whether its page map and memory can be read, which saving a machine needs.
 * @returns why not; undefined when they can
 */
export async function probePageMap(): Promise<string | undefined> {
  // It waits for input, and ends by itself when this process ends.
  const child = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'], env: { PATH: programPath } });
  const signal = AbortSignal.timeout(answerTimeoutMs);
  // If the child ends early the pipe breaks; the wait for its answer then ends at the timeout.
  child.stdin.on('error', () => undefined);
  try {
    await once(child, 'spawn', { signal });
    // Once it has answered, it runs the new program, and its stack is in memory.
    child.stdin.write('\n');
    await once(child.stdout, 'data', { signal });
    return await inspect(`/proc/${child.pid}`);
  } catch (error) {
    return errorText(error);
  } finally {
    child.stdin.destroy();
    child.stdout.destroy();
    child.kill('SIGKILL');
  }
}

async function inspect(processDirectory: string): Promise<string | undefined> {
  const stack = /^([0-9a-f]+)-([0-9a-f]+) .*\[stack\]$/m.exec(
    await readFile(`${processDirectory}/maps`, 'latin1'),
  );
  if (stack === null) return `${processDirectory}/maps lists no stack`;
  const topPage = Number.parseInt(stack[2] ?? '', 16) - pageBytes;

  const entry = await readAt(`${processDirectory}/pagemap`, (topPage / pageBytes) * entryBytes, entryBytes);
  if (entry.length < entryBytes || (entry.readBigUInt64LE() & presentBit) === 0n) {
    return `${processDirectory}/pagemap does not show a page that is in memory`;
  }
  const page = await readAt(`${processDirectory}/mem`, topPage, pageBytes);
  if (page.length < pageBytes) return `${processDirectory}/mem gives less than a page`;
  return undefined;
}

async function readAt(path: string, position: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, position);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
