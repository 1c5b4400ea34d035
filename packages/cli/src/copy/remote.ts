import { posix } from 'node:path';
import { FileNotFoundError } from '@opencomputer/sdk';
import { LocalError } from '../output/errors.ts';
import { absolute } from './location.ts';
import { quietly } from './quiet.ts';
import type { EntryInfo, Sandbox } from '@opencomputer/sdk';

/** What is at a path of a sandbox; undefined when nothing is. */
export async function remoteEntry(
  sandbox: Sandbox,
  text: string,
): Promise<Pick<EntryInfo, 'isDir' | 'mode' | 'type'> | undefined> {
  const path = absolute(text);
  if (path === '/') return { isDir: true, mode: '0755', type: 'directory' };
  try {
    const entries = await sandbox.files.list(posix.dirname(path));
    return entries.find(({ name }) => name === posix.basename(path));
  } catch (error) {
    if (error instanceof FileNotFoundError) return undefined;
    throw error;
  }
}

/** The permissions of the file at a path, with links followed. */
export async function remoteMode(
  sandbox: Sandbox,
  path: string,
  { type, mode }: Pick<EntryInfo, 'type' | 'mode'>,
): Promise<number> {
  if (type !== 'symlink') return Number.parseInt(mode, 8);
  const ask = `stat -L -c %a -- ${quoted(path)}`;
  const { exitCode, stdout, stderr } = await sandbox.exec.run(
    `sudo -n ${ask} 2>/dev/null || ${ask}`,
    quietly,
  );
  if (exitCode !== 0 || !/^[0-7]{1,4}\n$/.test(stdout))
    throw new LocalError(`the permissions of what ${path} leads to could not be read: ${stderr.trim()}`);
  return Number.parseInt(stdout, 8);
}

/** A path as a word of the shell. */
export function quoted(path: string): string {
  return `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
