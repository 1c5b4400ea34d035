import { chmod, link, lstat, mkdir, open, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LocalError } from '../output/errors.ts';
import { readArchive } from './tar-reader.ts';
import type { Stats } from 'node:fs';
import type { Tally } from './tally.ts';
import type { ArchiveEntry } from './tar-reader.ts';

/** The longest path of Linux. */
const longestPath = 4096;
const permissions = 0o777;

/**
 * Unpacks an archive into a folder. The archive may be hostile: nothing is written outside of the folder or through a
 * link, no device is made, and no file gets set-uid bits.
 *
 * @throws LocalError when a path leads out or something is in the way; RangeError when the archive is broken
 */
export async function unpack(source: AsyncIterable<Uint8Array>, folder: string, tally: Tally): Promise<void> {
  // Set at the end: the permissions of a folder may forbid writing into it.
  const modes = new Map<string, number>();
  await mkdir(folder, { recursive: true });
  for await (const entry of readArchive(source)) {
    const names = namesOf(entry.path);
    const path = join(folder, ...names);
    await ensureFolders(folder, names.slice(0, -1));
    if (entry.type === 'directory') {
      await ensureFolders(folder, names);
      modes.set(path, entry.mode & permissions);
    } else await place(entry, path, folder, tally);
    tally.file();
  }
  for (const [path, mode] of [...modes].toReversed()) await chmod(path, mode);
}

function namesOf(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (path.length <= longestPath && !names.includes('..') && !path.includes('\0')) return names;
  throw new LocalError(
    `the sandbox sent a file that leads out of the folder: ${JSON.stringify(path.slice(0, 200))}`,
  );
}

async function ensureFolders(folder: string, names: readonly string[]): Promise<void> {
  let path = folder;
  for (const name of names) {
    path = join(path, name);
    const stats = await statsOf(path);
    if (stats === undefined) await mkdir(path);
    else if (!stats.isDirectory())
      throw new LocalError(`${path} is in the way: it is no folder`, {
        hint: 'Move it away, or copy to another place.',
      });
  }
}

async function place(entry: ArchiveEntry, path: string, folder: string, tally: Tally): Promise<void> {
  if (path === folder) throw new LocalError('the sandbox sent a file where a folder was asked for');
  if (entry.type === 'other') return tally.skip(path);
  const before = await statsOf(path);
  if (before?.isDirectory() === true)
    throw new LocalError(`${path} is in the way: it is a folder`, {
      hint: 'Move it away, or copy to another place.',
    });
  if (before !== undefined) await rm(path);
  if (entry.type === 'symlink') await symlink(entry.target, path);
  else if (entry.type === 'link') await linkInside(entry, path, folder);
  else await writeFile(entry, path, tally);
}

async function linkInside(entry: ArchiveEntry, path: string, folder: string): Promise<void> {
  const names = namesOf(entry.target);
  const target = join(folder, ...names);
  await ensureFolders(folder, names.slice(0, -1));
  if ((await statsOf(target))?.isFile() !== true)
    throw new LocalError(
      `the sandbox sent a link to what is no file: ${JSON.stringify(entry.target.slice(0, 200))}`,
    );
  await mkdir(dirname(path), { recursive: true });
  await link(target, path);
}

async function writeFile(
  { content, mode, modified }: ArchiveEntry,
  path: string,
  tally: Tally,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const piece of content) {
      await file.writeFile(piece);
      tally.bytes(piece.length);
    }
    await file.chmod(mode & permissions);
  } finally {
    await file.close();
  }
  await utimes(path, modified, modified);
}

async function statsOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
