import { posix } from 'node:path';
import { LocalError } from '../output/errors.ts';

/** One end of a copy. */
export type Location =
  | { kind: 'local'; path: string }
  | { kind: 'stream' }
  | { kind: 'remote'; sandboxId: string; path: string };

const home = '/home/sandbox';

/** Reads `ID:PATH`, `-` or a local path; one that holds a colon can be written as `./a:b`. */
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

/** Said of a target: what is copied goes into it, whether it is there or not. */
export function namesFolder(path: string): boolean {
  return path === '' || path.endsWith('/');
}

/** Said of a source: its content is meant, not the folder itself. */
export function namesContent(path: string): boolean {
  return path === '.' || path.endsWith('/.');
}
