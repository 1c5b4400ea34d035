import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { LocalError } from '../output/errors.ts';
import { downloadFolder } from './folder.ts';
import { absolute, namesContent, namesFolder } from './location.ts';
import { remoteEntry, remoteMode } from './remote.ts';
import { counted } from './tally.ts';
import type { Sandbox } from '@opencomputer/sdk';
import type { Tally } from './tally.ts';

/** Copies a file or folder of a sandbox to a local path, as `cp -r` would. */
export async function download(
  sandbox: Sandbox,
  source: string,
  target: string,
  tally: Tally,
): Promise<void> {
  const from = absolute(source);
  const entry = await remoteEntry(sandbox, source);
  if (entry === undefined)
    throw new LocalError(`there is no ${from} in ${sandbox.sandboxId}`, { code: 'file_not_found' });
  const intoFolder = (await isFolder(target)) || namesFolder(target);
  const to = intoFolder && !namesContent(source) ? join(target, basename(from)) : target;
  if (entry.isDir) await downloadFolder(sandbox, from, to, tally);
  else await downloadFile(sandbox, from, to, await remoteMode(sandbox, from, entry), tally);
}

async function downloadFile(
  sandbox: Sandbox,
  from: string,
  to: string,
  mode: number,
  tally: Tally,
): Promise<void> {
  const draft = `${to}.${randomBytes(4).toString('hex')}.part`;
  const content = await sandbox.files.readStream(from);
  try {
    // Without set-uid bits, which mean another user here; the local umask decides who else may write.
    await pipeline(counted(content, tally), createWriteStream(draft, { flags: 'wx', mode: mode & 0o777 }));
    await rename(draft, to);
  } finally {
    await rm(draft, { force: true });
  }
  tally.file();
}

/** Writes a file of a sandbox to standard output. */
export async function downloadStream(sandbox: Sandbox, source: string): Promise<void> {
  for await (const piece of await sandbox.files.readStream(absolute(source)))
    if (!process.stdout.write(piece)) await new Promise((resolve) => process.stdout.once('drain', resolve));
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
