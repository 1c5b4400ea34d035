import { posix } from 'node:path';
import { LocalError } from '../output/errors.ts';

/** One end of a copy. */
export type Location =
  | { kind: 'local'; path: string }
  | { kind: 'stream' }
  | { kind: 'remote'; sandboxId: string; path: string };

const home = '/home/sandbox';

/** Parses `ID:PATH`, `-` or a local path; a path with a colon can be written as `./a:b`. */
export function parseLocation(text: string): Location {
  if (text === '-') return { kind: 'stream' };
  const [, sandboxId, path] = /^([\w-]+):(.*)$/s.exec(text) ?? [];
  if (sandboxId !== undefined && path !== undefined) return { kind: 'remote', sandboxId, path };
  if (text === '') throw new LocalError('a path is empty', { hint: 'Give a local path, ID:PATH, or -.' });
  return { kind: 'local', path: text };
}

/** The absolute path in the sandbox; relative ones begin at the home directory. */
export function absolute(path: string): string {
  return posix.resolve(home, path);
}

/** For a target: it is a folder to copy into, even if it does not exist yet. */
export function namesFolder(path: string): boolean {
  return path === '' || path.endsWith('/');
}

/** For a source: the content of the folder is meant, not the folder itself. */
export function namesContent(path: string): boolean {
  return path === '.' || path.endsWith('/.');
}
