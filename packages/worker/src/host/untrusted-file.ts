import { constants, type FileHandle, open } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { systemErrorCode } from './errors.ts';

/** What a file must be like to be opened. */
export interface Expectation {
  /** Default: for reading. `O_NOFOLLOW` and `O_NONBLOCK` are always added. */
  flags?: number;
  /** Whether the owner may be this user. Default: any user may. */
  owner?: (uid: number) => boolean;
  /** How many names it may have. Default: any number. */
  links?: number;
}

/** Something else is in the place of a file of ours: somebody has replaced it. */
export class NotOurFile extends Error {
  override readonly name = 'NotOurFile';
}

/**
 * Opens a file in a directory to which QEMU's user may have had access. Links are not followed, opening never blocks,
 * and the opened file is checked before it is used. Read and change it by the handle, never by its name.
 * @throws NotOurFile when it is not a regular file, or not the expected one
 */
export async function openUntrusted(path: string, expected: Expectation = {}): Promise<FileHandle> {
  const { flags = constants.O_RDONLY } = expected;
  let file: FileHandle;
  try {
    file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const what = { ELOOP: 'a symbolic link', ENXIO: 'a socket' }[systemErrorCode(error) ?? ''];
    if (what === undefined) throw error;
    throw new NotOurFile(`${path} is ${what}, not a regular file`, { cause: error });
  }
  try {
    const problem = problemOf(await file.stat(), expected);
    if (problem !== undefined) throw new NotOurFile(`${path} ${problem}`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function problemOf(stats: Stats, { owner, links }: Expectation): string | undefined {
  if (!stats.isFile()) return `is ${stats.isFIFO() ? 'a pipe' : 'no file'}, not a regular file`;
  if (owner !== undefined && !owner(stats.uid))
    return `belongs to user ${stats.uid}, who should have no file here`;
  if (links !== undefined && stats.nlink !== links)
    return `has ${stats.nlink} names, and should have ${links}`;
  return undefined;
}

/** Runs `use` with an opened file, and closes it. @throws what `openUntrusted` and `use` throw */
export async function withUntrusted<Result>(
  path: string,
  expected: Expectation,
  use: (file: FileHandle) => Promise<Result>,
): Promise<Result> {
  const file = await openUntrusted(path, expected);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** A path by which another program opens exactly the file of a handle, as long as the handle is open. */
export function pathOfHandle(file: FileHandle): string {
  return `/proc/${process.pid}/fd/${file.fd}`;
}
