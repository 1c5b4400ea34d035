import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, posix, resolve } from 'node:path';
import { LocalError } from '../output/errors.ts';
import { uploadFolder } from './folder.ts';
import { absolute, namesContent, namesFolder } from './location.ts';
import { quoted, remoteEntry } from './remote.ts';
import { quietly } from './quiet.ts';
import { counted } from './tally.ts';
import type { Readable } from 'node:stream';
import type { Sandbox } from '@opencomputer/sdk';
import type { Tally } from './tally.ts';

/** The permissions of files that are written by the API. */
const usualMode = 0o644;

/** Copies local files and folders to a path of a sandbox, as `cp -r` would. */
export async function upload(
  sandbox: Sandbox,
  sources: readonly string[],
  target: string,
  tally: Tally,
): Promise<void> {
  const entry = await remoteEntry(sandbox, target);
  const intoFolder = entry?.isDir === true || namesFolder(target);
  if (sources.length > 1 && !intoFolder)
    throw new LocalError(`${target} is no folder, and there are several sources`, { hint: 'End it with /.' });
  for (const source of sources) {
    const stats = await stat(source);
    const inside = intoFolder && !namesContent(source);
    const to = inside ? posix.join(absolute(target), basename(resolve(source))) : absolute(target);
    if (stats.isDirectory()) {
      await sandbox.files.makeDir(to);
      await uploadFolder(sandbox, source, to, tally);
    } else if (stats.isFile()) {
      await uploadStream(sandbox, createReadStream(source), to, tally);
      await setMode(sandbox, to, stats.mode & 0o777);
    } else throw new LocalError(`${source} is neither a file nor a folder`);
  }
}

/** Writes a stream to a file of a sandbox. */
export async function uploadStream(
  sandbox: Sandbox,
  source: Readable,
  to: string,
  tally: Tally,
): Promise<void> {
  await sandbox.files.write(to, counted(source as AsyncIterable<Buffer>, tally));
  tally.file();
}

async function setMode(sandbox: Sandbox, path: string, mode: number): Promise<void> {
  if (mode === usualMode) return;
  const change = `chmod ${mode.toString(8)} -- ${quoted(path)}`;
  const { exitCode, stderr } = await sandbox.exec.run(`sudo -n ${change} 2>/dev/null || ${change}`, quietly);
  if (exitCode !== 0) throw new LocalError(`the permissions of ${path} could not be set: ${stderr.trim()}`);
}
