import { ApiError } from '@opencomputer/protocol';
import type { Machines } from '../sandboxes/machines.ts';

/** What a client asks to run. */
export interface CommandLine {
  readonly cmd: string;
  readonly args?: readonly string[] | null | undefined;
}

/**
 * The arguments of a command, its program first. What holds white space, has no arguments and names no file is a line
 * of shell.
 */
export async function commandLine(
  machines: Machines,
  sandboxId: string,
  { cmd, args }: CommandLine,
): Promise<string[]> {
  if ((args ?? []).length > 0 || !/\s/.test(cmd.trim())) return [cmd, ...(args ?? [])];
  if (cmd.startsWith('/') && (await isFile(machines, sandboxId, cmd))) return [cmd];
  return ['sh', '-c', cmd];
}

async function isFile(machines: Machines, sandboxId: string, path: string): Promise<boolean> {
  try {
    return (await machines.statFile(sandboxId, path)).type === 'file';
  } catch (error) {
    if (error instanceof ApiError && error.status < 500) return false;
    throw error;
  }
}
