import { checkOptions } from './check-options.ts';
import { checkpointSegment } from './checkpoints.ts';
import { resolveConnection } from './config.ts';
import { HttpClient } from './http.ts';
import { optionNames } from './option-names.ts';
import type { ConnectionOptions } from './config.ts';

/** A script that forks of a checkpoint run once. */
export interface PatchInfo {
  id: string;
  checkpointId: string;
  /** Its place in the order. */
  sequence: number;
  script: string;
  description: string;
  strategy: 'on_wake';
  /** RFC 3339. */
  createdAt: string;
}

/** Answer of `Sandbox.createCheckpointPatch`. */
export interface PatchResult {
  patch: PatchInfo;
}

/** Options of `Sandbox.createCheckpointPatch`. */
export interface PatchOptions extends ConnectionOptions {
  /** Run with `bash -c`, for 300 seconds at most. */
  script: string;
  description?: string | undefined;
}

function patchesPath(checkpointId: string): string {
  return `/sandboxes/checkpoints/${checkpointSegment(checkpointId)}/patches`;
}

/**
 * Adds a script that sandboxes run, once each and in order, when they are forked from the checkpoint, and those that
 * were forked before when they wake. The first failure ends it and is the `patchError` of the sandbox.
 *
 * @throws NotFoundError when no checkpoint of yours has the id; InvalidRequestError when the script is empty
 * @example
 * await Sandbox.createCheckpointPatch(checkpoint.id, { script: 'cd /app && git pull' });
 */
export async function createCheckpointPatch(
  checkpointId: string,
  options: PatchOptions,
): Promise<PatchResult> {
  checkOptions('Sandbox.createCheckpointPatch', options, optionNames.patch);
  const { script, description, signal } = options;
  const http = new HttpClient(resolveConnection(options));
  const path = patchesPath(checkpointId);
  return (await http.json({ method: 'POST', path, json: { script, description }, signal })) as PatchResult;
}

/** Lists the patches of a checkpoint in their order. @throws NotFoundError */
export async function listCheckpointPatches(
  checkpointId: string,
  options: ConnectionOptions = {},
): Promise<PatchInfo[]> {
  checkOptions('Sandbox.listCheckpointPatches', options, optionNames.connection);
  const http = new HttpClient(resolveConnection(options));
  const path = patchesPath(checkpointId);
  return (await http.json({ method: 'GET', path, signal: options.signal })) as PatchInfo[];
}

/** Removes a patch; sandboxes that have run it stay as they are. @throws NotFoundError */
export async function deleteCheckpointPatch(
  checkpointId: string,
  patchId: string,
  options: ConnectionOptions = {},
): Promise<void> {
  checkOptions('Sandbox.deleteCheckpointPatch', options, optionNames.connection);
  const http = new HttpClient(resolveConnection(options));
  const path = `${patchesPath(checkpointId)}/${checkpointSegment(patchId)}`;
  await http.done({ method: 'DELETE', path, signal: options.signal });
}
