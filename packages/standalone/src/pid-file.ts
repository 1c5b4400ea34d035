import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { isSameProcess, processIdentity, type ProcessIdentity } from '@opencomputer/worker/processes';

/** Records this process as the platform that runs on a data directory. */
export async function writePidFile(path: string): Promise<void> {
  await writeFile(path, JSON.stringify(processIdentity(process.pid)), { mode: 0o644 });
}

export async function removePidFile(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** The platform that runs on a data directory; undefined when none does. */
export function readPidFile(path: string): ProcessIdentity | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const identity = JSON.parse(text) as ProcessIdentity;
    return isSameProcess(identity) ? identity : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
