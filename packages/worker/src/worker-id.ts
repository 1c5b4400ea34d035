import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { writeFileAtomic } from './host/atomic-file.ts';
import { systemErrorCode } from './host/errors.ts';

/** What a worker may be called: as hosts are, since those of older releases have the name of theirs. */
const workerIdPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

/**
 * The id of the worker that owns a data directory, made on first use. It belongs to the machines and snapshots there, so
 * it moves with them, and stays when the host gets another name.
 * @param path the file that keeps it
 * @param existing whether the directory is one of an older release, where the worker was called as its host is
 * @throws Error when the file holds something else
 */
export async function readWorkerId(path: string, existing: boolean): Promise<string> {
  const kept = await readIfThere(path);
  if (kept !== undefined) {
    const id = kept.trim();
    if (workerIdPattern.test(id)) return id;
    throw new Error(
      `${path} does not hold the id of a worker: write the one into it that the server's log names for this worker`,
    );
  }
  const name = hostname();
  const id = existing && workerIdPattern.test(name) ? name : `wk-${randomBytes(4).toString('hex')}`;
  await writeFileAtomic(path, `${id}\n`);
  return id;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
