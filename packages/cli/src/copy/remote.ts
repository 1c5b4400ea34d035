import { posix } from 'node:path';
import { FileNotFoundError } from '@opencomputer/sdk';
import { absolute } from './location.ts';
import type { EntryInfo, Sandbox } from '@opencomputer/sdk';

/** What is at a path of a sandbox; undefined when nothing is. */
export async function remoteEntry(
  sandbox: Sandbox,
  text: string,
): Promise<Pick<EntryInfo, 'isDir' | 'mode'> | undefined> {
  const path = absolute(text);
  if (path === '/') return { isDir: true, mode: '0755' };
  try {
    const entries = await sandbox.files.list(posix.dirname(path));
    return entries.find(({ name }) => name === posix.basename(path));
  } catch (error) {
    if (error instanceof FileNotFoundError) return undefined;
    throw error;
  }
}
