import { checkOptions } from './check-options.ts';
import { requestOptions, resolveConnection } from './config.ts';
import { invalidOption } from './invalid-option.ts';
import { HttpClient } from './http.ts';
import { optionNames } from './option-names.ts';
import type { ConnectionOptions, RequestOptions } from './config.ts';
import type { SandboxStatus, WireFork, WireSandbox } from './wire.ts';

/** Starts and saves of machines take longer than other calls. */
export const changeTimeoutMs = 300_000;

/** A checkpoint of a sandbox. */
export interface CheckpointInfo {
  id: string;
  /** The sandbox it was taken of; that may have ended since. */
  sandboxId: string;
  orgId: string;
  name: string;
  /** `full`: disk and memory; `disk_only`: forks boot from the disk. */
  kind: 'full' | 'disk_only';
  status: 'processing' | 'ready' | 'failed';
  sandboxConfig: { template: string; cpuCount: number; memoryMB: number; diskMB: number };
  /** Bytes that only this checkpoint occupies; 0 until it is ready. */
  sizeBytes: number;
  /** True when every key of the installation may fork it. */
  isPublic: boolean;
  /** RFC 3339. */
  createdAt: string;
  /** The checkpoint that the state of its sandbox came from. */
  parentCheckpointId?: string | undefined;
  /** Milliseconds for which the sandbox was paused. */
  pauseMs?: number | undefined;
  /**
   * Whether the guest paused its work and wrote out its file system first. False: it did not answer and was saved as it
   * was; the disk of a `disk_only` checkpoint is then as after a power cut.
   */
  quiesced?: boolean | undefined;
  /** Why it failed. */
  errorMsg?: string | undefined;
  failedAt?: string | undefined;
}

/** A checkpoint in the tree of all, with what was forked from it. */
export interface CheckpointNode extends CheckpointInfo {
  forks: { sandboxID: string; status: SandboxStatus }[];
}

/** What happens to older checkpoints once a new one is ready. */
export interface CheckpointRetentionPolicy {
  /** `delete_oldest`: the oldest of its kind beyond `maxCount` are deleted. */
  mode: 'none' | 'delete_oldest';
  /** Default: as many as are allowed, 10 full or 100 disk-only ones. */
  maxCount?: number | undefined;
}

/** Options of `createCheckpoint`. */
export interface CreateCheckpointOptions extends RequestOptions {
  /** Default `full`. */
  kind?: 'full' | 'disk_only' | undefined;
  /** With kind `disk_only`: take it as a full one after all. */
  promoteToFull?: boolean | undefined;
  /**
   * Fail where the guest does not pause its work and write out its file system in time, instead of saving it as it is.
   * Default false.
   */
  requireQuiesced?: boolean | undefined;
  retentionPolicy?: CheckpointRetentionPolicy | undefined;
}

/** Options of `Sandbox.createFromCheckpoint`. */
export interface ForkOptions extends ConnectionOptions {
  /** Idle timeout in seconds; 0: never. Default 300. */
  timeout?: number | undefined;
  /** Added to the environment variables of the checkpoint; these win. */
  envs?: Record<string, string> | undefined;
  /** Added to the metadata of the checkpoint; these win. */
  metadata?: Record<string, string> | undefined;
}

/** Options of `Sandbox.forkCheckpoint`. */
export interface ForkManyOptions extends ForkOptions {
  /** How many, 1 to 50. Default 1. */
  count?: number | undefined;
}

/** Options of `sandbox.fork`, which calls the server of the sandbox. */
export interface ForkSelfOptions extends RequestOptions, Omit<ForkManyOptions, keyof ConnectionOptions> {
  /** Keeps the checkpoint under this name. */
  name?: string | undefined;
}

/** The id as a segment of a path. @throws InvalidRequestError when it would name another endpoint. */
export function checkpointSegment(id: string): string {
  if (typeof id !== 'string' || !/^[\w-]+$/.test(id))
    throw invalidOption(
      `${JSON.stringify(id)} is not the id of a checkpoint`,
      'Ids of checkpoints are UUIDs.',
    );
  return id;
}

/** See `Sandbox.createCheckpoint`. */
export async function createCheckpoint(
  http: HttpClient,
  path: string,
  name: string,
  options: CreateCheckpointOptions,
): Promise<CheckpointInfo> {
  checkOptions('createCheckpoint', options, optionNames.checkpoint);
  const { kind, promoteToFull, requireQuiesced, retentionPolicy, ...limits } = options;
  const json = { name, kind, promoteToFull, requireQuiesced, retentionPolicy };
  return (await http.json({
    method: 'POST',
    path: `${path}/checkpoints`,
    json,
    defaultTimeoutMs: changeTimeoutMs,
    ...limits,
  })) as CheckpointInfo;
}

/** See `Sandbox.listCheckpoints`. */
export async function listCheckpoints(
  http: HttpClient,
  path: string,
  options: RequestOptions,
): Promise<CheckpointInfo[]> {
  const limits = requestOptions('listCheckpoints', options);
  return (await http.json({ method: 'GET', path: `${path}/checkpoints`, ...limits })) as CheckpointInfo[];
}

/** See `Sandbox.restoreCheckpoint`. @returns the server's new data about the sandbox */
export async function restoreCheckpoint(
  http: HttpClient,
  path: string,
  checkpointId: string,
  options: RequestOptions,
): Promise<WireSandbox> {
  const route = `${path}/checkpoints/${checkpointSegment(checkpointId)}/restore`;
  const limits = requestOptions('restoreCheckpoint', options);
  await http.json({ method: 'POST', path: route, json: {}, defaultTimeoutMs: changeTimeoutMs, ...limits });
  return (await http.json({ method: 'GET', path, ...limits })) as WireSandbox;
}

/** See `Sandbox.deleteCheckpoint`. */
export async function deleteCheckpoint(
  http: HttpClient,
  path: string,
  checkpointId: string,
  options: RequestOptions,
): Promise<void> {
  const route = `${path}/checkpoints/${checkpointSegment(checkpointId)}`;
  await http.done({ method: 'DELETE', path: route, ...requestOptions('deleteCheckpoint', options) });
}

/** Requests forks; the form of the answer depends on `count`. */
export function postFork(
  http: HttpClient,
  path: string,
  options: ForkOptions,
  extra: { count?: number; name?: string | undefined },
): Promise<object> {
  const { timeout, envs, metadata, signal, requestTimeoutMs } = options;
  const json: WireFork & { name?: string | undefined } = { timeout, envs, metadata, ...extra };
  return http.json({
    method: 'POST',
    path,
    json,
    defaultTimeoutMs: changeTimeoutMs,
    signal,
    requestTimeoutMs,
  });
}

/**
 * Lists all your checkpoints, newest first: `parentCheckpointId` makes them a tree. Pages are fetched as needed.
 *
 * @throws AuthenticationError, ConnectionError while iterating
 * @example
 * for await (const { name, forks } of Sandbox.listAllCheckpoints()) console.log(name, forks.length);
 */
export async function* listAllCheckpoints(options: ConnectionOptions = {}): AsyncGenerator<CheckpointNode> {
  checkOptions('Sandbox.listAllCheckpoints', options, optionNames.connection);
  const http = new HttpClient(resolveConnection(options));
  yield* pages<CheckpointNode>(http, '/checkpoints', options.signal);
}

/** The items of a list with pages, page after page. */
export async function* pages<Item>(
  http: HttpClient,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Item> {
  let cursor: string | undefined;
  do {
    const { value, headers } = await http.jsonWithHeaders({ method: 'GET', path, query: { cursor }, signal });
    yield* value as Item[];
    cursor = headers.get('x-next-cursor') ?? undefined;
  } while (cursor !== undefined);
}

/** Lets every key of the installation fork a checkpoint, with its memory and environment. @throws NotFoundError */
export function publishCheckpoint(id: string, options: ConnectionOptions = {}): Promise<CheckpointInfo> {
  return setPublic(id, 'publish', options);
}

/** Lets only the owner fork a checkpoint again; forks that others have made stay. @throws NotFoundError */
export function unpublishCheckpoint(id: string, options: ConnectionOptions = {}): Promise<CheckpointInfo> {
  return setPublic(id, 'unpublish', options);
}

async function setPublic(
  id: string,
  verb: 'publish' | 'unpublish',
  options: ConnectionOptions,
): Promise<CheckpointInfo> {
  checkOptions(`Sandbox.${verb}Checkpoint`, options, optionNames.connection);
  const http = new HttpClient(resolveConnection(options));
  const path = `/sandboxes/checkpoints/${checkpointSegment(id)}/${verb}`;
  return (await http.json({ method: 'POST', path, signal: options.signal })) as CheckpointInfo;
}
