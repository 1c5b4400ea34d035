import { Agent } from './agent.ts';
import { checkOptions } from './check-options.ts';
import {
  checkpointSegment,
  createCheckpoint,
  deleteCheckpoint,
  listAllCheckpoints,
  listCheckpoints,
  postFork,
  publishCheckpoint,
  restoreCheckpoint,
  unpublishCheckpoint,
} from './checkpoints.ts';
import { requestOptions, resolveConnection } from './config.ts';
import { SandboxNotFoundError, ServerError } from './errors.ts';
import { events } from './events.ts';
import { Exec } from './exec.ts';
import { Filesystem } from './files.ts';
import { HttpClient } from './http.ts';
import { optionNames } from './option-names.ts';
import { createCheckpointPatch, deleteCheckpointPatch, listCheckpointPatches } from './patches.ts';
import { hibernate, powerCycle, reboot, wake } from './power.ts';
import { Pty } from './pty.ts';
import { sandboxPath, toSandboxInfo } from './sandbox-info.ts';
import { SessionApi } from './sessions.ts';
import { signUrl } from './signed-url.ts';
import type {
  CheckpointInfo,
  CreateCheckpointOptions,
  ForkManyOptions,
  ForkOptions,
  ForkSelfOptions,
} from './checkpoints.ts';
import type { ConnectionOptions, RequestOptions } from './config.ts';
import type { SandboxEvent } from './events.ts';
import type { WakeOptions } from './power.ts';
import type { ListOptions, SandboxInfo, SandboxOptions } from './sandbox-info.ts';
import type { SignedUrlOptions } from './signed-url.ts';
import type { SandboxStatus, WireCreateSandbox, WireSandbox } from './wire.ts';

/** `util.inspect.custom` of Node.js. It is not imported, since browsers have no such module. */
const inspectSymbol = Symbol.for('nodejs.util.inspect.custom');

const defaultTimeoutSeconds = 300;
/** A template or shape that the host has not used yet is prepared first. */
const createTimeoutMs = 300_000;

/**
 * Where `Symbol.asyncDispose` is missing, `await using` is missing, too; the method then has a name that nobody calls.
 */
const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? (Symbol('asyncDispose') as typeof Symbol.asyncDispose);

/**
 * A Linux virtual machine. Get one with `Sandbox.create` or `Sandbox.connect`.
 *
 * @example
 * await using sandbox = await Sandbox.create();
 * const { stdout } = await sandbox.exec.run('uname -a');
 */
export class Sandbox implements AsyncDisposable {
  /** Id, for `Sandbox.connect`. */
  readonly sandboxId: string;
  /** Runs commands. */
  readonly exec: Exec;
  /** Reads and writes files. */
  readonly files: Filesystem;
  /** Opens terminals. */
  readonly pty: Pty;
  /** Starts coding agents. */
  readonly agent: Agent;

  readonly #http: HttpClient;
  readonly #path: string;
  /** The last answer about it. Private by name, like the key that `#http` holds: a token is in it. */
  #data: WireSandbox;

  private constructor(http: HttpClient, data: WireSandbox) {
    if (typeof data.sandboxID !== 'string' || data.sandboxID === '')
      throw new ServerError('the server answered with a sandbox that has no id', {
        code: 'unexpected_answer',
        hint: 'Check that apiUrl is the address of an OpenComputer server.',
      });
    this.sandboxId = data.sandboxID;
    this.#http = http;
    this.#data = data;
    this.#path = sandboxPath(data.sandboxID);
    const sessions = new SessionApi(http, this.#path, () => this.#data.token);
    this.exec = new Exec(http, this.#path, sessions);
    this.files = new Filesystem(http, this.#path);
    this.pty = new Pty(sessions);
    this.agent = new Agent(sessions);
  }

  /**
   * Creates a sandbox. It runs and takes commands when the promise resolves.
   * `requestTimeoutMs` also becomes the default of the sandbox's own calls.
   *
   * @throws AuthenticationError when the key is missing or wrong
   * @throws InvalidRequestError when an option is out of range; the message names it
   * @throws NotFoundError when there is no such template
   * @throws LimitError when you have as many sandboxes as you may; CapacityError when the host is full
   * @throws ConnectionError when no server answers at `apiUrl`
   * @example
   * const sandbox = await Sandbox.create({ cpuCount: 2, memoryMB: 1024, metadata: { project: 'x' } });
   */
  static async create(options: SandboxOptions = {}): Promise<Sandbox> {
    checkOptions('Sandbox.create', options, optionNames.create);
    const { envs, metadata, cpuCount, memoryMB, diskMB } = options;
    const request: WireCreateSandbox = {
      templateID: options.template ?? 'base',
      timeout: options.timeout ?? defaultTimeoutSeconds,
      envs,
      metadata,
      cpuCount,
      memoryMB,
      diskMB,
    };
    const http = new HttpClient(resolveConnection(options));
    const data = await http.json({
      method: 'POST',
      path: '/sandboxes',
      json: request,
      defaultTimeoutMs: createTimeoutMs,
      signal: options.signal,
    });
    return new Sandbox(http, data as WireSandbox);
  }

  /**
   * Connects to a sandbox that exists, e.g. from another process. It may have stopped: look at `status`.
   *
   * @throws SandboxNotFoundError when no sandbox of this key has the id
   * @throws AuthenticationError, ConnectionError
   * @example
   * const sandbox = await Sandbox.connect('sb-0a1b2c3d');
   */
  static async connect(sandboxId: string, options: ConnectionOptions = {}): Promise<Sandbox> {
    checkOptions('Sandbox.connect', options, optionNames.connection);
    const path = sandboxPath(sandboxId);
    const http = new HttpClient(resolveConnection(options));
    const data = await http.json({ method: 'GET', path, signal: options.signal });
    return new Sandbox(http, data as WireSandbox);
  }

  /**
   * Lists the sandboxes of this key, newest first; pages are fetched while you iterate.
   *
   * @throws AuthenticationError, InvalidRequestError, ConnectionError while iterating
   * @example
   * for await (const sandbox of Sandbox.list({ metadata: { project: 'x' } })) await sandbox.kill();
   */
  static list(options: ListOptions = {}): SandboxList {
    checkOptions('Sandbox.list', options, optionNames.list);
    const http = new HttpClient(resolveConnection(options));
    const { status, limit, metadata = {}, signal } = options;
    const filters = Object.entries(metadata).map(([key, value]) => [`metadata[${key}]`, value] as const);
    return new SandboxList(async (cursor) => {
      const { value, headers } = await http.jsonWithHeaders({
        method: 'GET',
        path: '/sandboxes',
        query: { status, limit: limit?.toString(), cursor, ...Object.fromEntries(filters) },
        signal,
      });
      return {
        sandboxes: (value as WireSandbox[]).map((data) => new Sandbox(http, data)),
        nextCursor: headers.get('x-next-cursor') ?? undefined,
      };
    }, options.cursor);
  }

  /**
   * Creates a sandbox from a checkpoint: its disk, and for a full one its memory and running processes, under its own
   * identity. Connections to the outside are lost. Waits for a checkpoint that is being written.
   *
   * @param options.timeout - idle seconds, 0: never; default 300
   * @param options.envs - added to those of the checkpoint, which they override; `metadata` likewise
   * @throws NotFoundError when no checkpoint that you may fork has the id
   * @throws ConflictError when it has failed; LimitError, CapacityError as for `create`
   * @example
   * const copy = await Sandbox.createFromCheckpoint(checkpoint.id, { envs: { SEED: '2' } });
   */
  static async createFromCheckpoint(checkpointId: string, options: ForkOptions = {}): Promise<Sandbox> {
    checkOptions('Sandbox.createFromCheckpoint', options, optionNames.fork);
    const http = new HttpClient(resolveConnection(options));
    const path = `/sandboxes/from-checkpoint/${checkpointSegment(checkpointId)}`;
    return new Sandbox(http, (await postFork(http, path, options, {})) as WireSandbox);
  }

  /**
   * Creates any number of sandboxes from a checkpoint, all or none.
   *
   * @param options.count - 1 to 50, default 1; the rest as for `createFromCheckpoint`
   * @throws NotFoundError, ConflictError, LimitError, CapacityError, InvalidRequestError
   * @example
   * const workers = await Sandbox.forkCheckpoint(checkpoint.id, { count: 10 });
   */
  static async forkCheckpoint(checkpointId: string, options: ForkManyOptions = {}): Promise<Sandbox[]> {
    checkOptions('Sandbox.forkCheckpoint', options, optionNames.forkMany);
    const http = new HttpClient(resolveConnection(options));
    const path = `/sandboxes/from-checkpoint/${checkpointSegment(checkpointId)}`;
    return Sandbox.#forks(http, path, options);
  }

  /** Another name of `Sandbox.forkCheckpoint`. */
  static fork(checkpointId: string, options: ForkManyOptions = {}): Promise<Sandbox[]> {
    return Sandbox.forkCheckpoint(checkpointId, options);
  }

  /** Adds a script that forks of a checkpoint run; see `createCheckpointPatch` in the package. */
  static readonly createCheckpointPatch = createCheckpointPatch;
  /** Lists the patches of a checkpoint in their order. */
  static readonly listCheckpointPatches = listCheckpointPatches;
  /** Removes a patch; sandboxes that have run it stay as they are. */
  static readonly deleteCheckpointPatch = deleteCheckpointPatch;
  /** Lists all your checkpoints, newest first, each with its parent and its forks. */
  static readonly listAllCheckpoints = listAllCheckpoints;
  /** Lets every key of the installation fork a checkpoint. */
  static readonly publishCheckpoint = publishCheckpoint;
  /** Lets only the owner fork a checkpoint again. */
  static readonly unpublishCheckpoint = unpublishCheckpoint;

  /**
   * Takes a checkpoint of this sandbox, which goes on, and creates sandboxes from it: all or none.
   *
   * @param options.count - 1 to 50, default 1
   * @param options.name - keeps the checkpoint under this name; without one it is deleted once the forks exist
   * @throws SandboxStoppedError, LimitError, CapacityError, ConflictError when the name is taken
   * @example
   * const [left, right] = await sandbox.fork({ count: 2 });
   */
  async fork(options: ForkSelfOptions = {}): Promise<Sandbox[]> {
    checkOptions('sandbox.fork', options, optionNames.forkSelf);
    return Sandbox.#forks(this.#http, `${this.#path}/fork`, options);
  }

  static async #forks(http: HttpClient, path: string, options: ForkSelfOptions): Promise<Sandbox[]> {
    const extra = { count: options.count ?? 1, name: options.name };
    const { sandboxes } = (await postFork(http, path, options, extra)) as { sandboxes: WireSandbox[] };
    return sandboxes.map((data) => new Sandbox(http, data));
  }

  /** The same as `sandboxId`. */
  get id(): string {
    return this.sandboxId;
  }

  /** State as of the last answer about it; `isRunning` asks for the current one. */
  get status(): SandboxStatus {
    return this.#data.status;
  }

  /** What is known about it, as of the last answer. */
  get info(): SandboxInfo {
    return toSandboxInfo(this.#data);
  }

  /** Its id and its state, as `String` and `console.log` show it. */
  toString(): string {
    return `<Sandbox ${this.sandboxId} ${this.status}>`;
  }

  /** What is known about it, as `JSON.stringify` shows it: neither key nor token. */
  toJSON(): SandboxInfo {
    return this.info;
  }

  /** As `console.log` shows it in Node.js. */
  [inspectSymbol](): string {
    return this.toString();
  }

  /** Another name of `exec`. */
  get commands(): Exec {
    return this.exec;
  }

  /** The key-value pairs given to `create`. */
  get metadata(): Readonly<Record<string, string>> {
    return this.info.metadata;
  }

  /** Host name under which port 80 is reachable; empty when the server has no preview domain. */
  get domain(): string {
    return this.getPreviewDomain(80);
  }

  /** Host name under which a port is reachable; empty when the server has no preview domain. */
  getPreviewDomain(port: number): string {
    const suffix = this.#data.sandboxDomain;
    return suffix ? `${this.sandboxId}-p${port}.${suffix}` : '';
  }

  /**
   * Asks whether it runs, and updates `status` and `info`. False when it has ended or no longer exists.
   *
   * @throws AuthenticationError, ConnectionError, TimeoutError: when it cannot be found out, that is not "no"
   * @example
   * if (!(await sandbox.isRunning())) console.log(sandbox.info.statusReason);
   */
  async isRunning(options: RequestOptions = {}): Promise<boolean> {
    try {
      const limits = requestOptions('isRunning', options);
      const data = await this.#http.json({ method: 'GET', path: this.#path, ...limits });
      this.#data = data as WireSandbox;
    } catch (error) {
      if (!(error instanceof SandboxNotFoundError)) throw error;
      this.#data = { ...this.#data, status: 'stopped' };
    }
    return this.#data.status === 'running';
  }

  /**
   * Sets the idle timeout and restarts its clock.
   *
   * @param seconds - 0 means never
   * @throws SandboxStoppedError, SandboxNotFoundError, InvalidRequestError
   * @example
   * await sandbox.setTimeout(600);
   */
  async setTimeout(seconds: number, options: RequestOptions = {}): Promise<void> {
    const path = `${this.#path}/timeout`;
    const limits = requestOptions('setTimeout', options);
    await this.#http.done({ method: 'POST', path, json: { timeout: seconds }, ...limits });
    this.#data = { ...this.#data, timeout: seconds };
  }

  /**
   * Ends the sandbox and deletes its disk. Killing it again is fine.
   *
   * @throws SandboxNotFoundError, AuthenticationError, ConnectionError
   * @example
   * await sandbox.kill();
   */
  async kill(options: RequestOptions = {}): Promise<void> {
    await this.#http.done({ method: 'DELETE', path: this.#path, ...requestOptions('kill', options) });
    this.#data = { ...this.#data, status: 'stopped' };
  }

  /** Kills the sandbox at the end of an `await using` block. */
  async [asyncDispose](): Promise<void> {
    await this.kill();
  }

  /**
   * Saves memory and processes to disk; nothing of it runs until any use, or `wake`, wakes it, and it continues where
   * it was. If it cannot be saved it goes on running.
   *
   * @throws SandboxStoppedError, SandboxNotFoundError; CapacityError when the disk is full; LimitError
   * @example
   * await sandbox.hibernate();
   */
  async hibernate(options: RequestOptions = {}): Promise<void> {
    await hibernate(this.#http, this.#path, options);
    this.#data = { ...this.#data, status: 'hibernated' };
  }

  /**
   * Wakes it with its memory and processes. Nothing happens to a running one; one in error is started from its disk.
   * Where its memory cannot be restored it is started from its disk, and `info.coldBootReason` says why.
   *
   * @param options.timeout - idle timeout from now on, in seconds, 0: never; default: the one it had
   * @throws SandboxStoppedError, SandboxNotFoundError; LimitError, CapacityError when there is no room for it
   * @example
   * await sandbox.wake({ timeout: 600 });
   */
  async wake(options: WakeOptions = {}): Promise<void> {
    this.#data = await wake(this.#http, this.#path, options);
  }

  /**
   * Shuts its system down and starts it again. Id, disk and environment are kept, processes are lost.
   *
   * @throws SandboxStoppedError, SandboxNotFoundError, CapacityError
   * @example
   * await sandbox.reboot();
   */
  async reboot(options: RequestOptions = {}): Promise<void> {
    await reboot(this.#http, this.#path, options);
    this.#data = { ...this.#data, status: 'running' };
  }

  /**
   * Turns it off and on without asking its system; what had not been written to the disk is lost.
   *
   * @throws SandboxStoppedError, SandboxNotFoundError, CapacityError
   * @example
   * await sandbox.powerCycle();
   */
  async powerCycle(options: RequestOptions = {}): Promise<void> {
    await powerCycle(this.#http, this.#path, options);
    this.#data = { ...this.#data, status: 'running' };
  }

  /**
   * Takes a checkpoint; the sandbox goes on. It resolves once the checkpoint is ready, or after 20 s with the status
   * `processing`; forks wait for that. Checkpoints outlive their sandbox until they are deleted.
   *
   * @param name - unique among the checkpoints of this sandbox
   * @param options.kind - `full` (default) or `disk_only`, whose forks boot
   * @param options.retentionPolicy - what happens to older ones
   * @throws ConflictError when the name is taken; LimitError when there are too many; CapacityError; SandboxStoppedError
   * @example
   * const { id } = await sandbox.createCheckpoint('ready');
   * const copy = await Sandbox.createFromCheckpoint(id);
   */
  createCheckpoint(name: string, options: CreateCheckpointOptions = {}): Promise<CheckpointInfo> {
    return createCheckpoint(this.#http, this.#path, name, options);
  }

  /** Lists its checkpoints, newest first. @throws SandboxNotFoundError */
  listCheckpoints(options: RequestOptions = {}): Promise<CheckpointInfo[]> {
    return listCheckpoints(this.#http, this.#path, options);
  }

  /**
   * Puts it back to one of its checkpoints: memory, processes and disk; what came after is lost.
   *
   * @throws NotFoundError; InvalidRequestError for the checkpoint of another sandbox; ConflictError when it has failed
   * @example
   * await sandbox.restoreCheckpoint(checkpoint.id);
   */
  async restoreCheckpoint(checkpointId: string, options: RequestOptions = {}): Promise<void> {
    this.#data = await restoreCheckpoint(this.#http, this.#path, checkpointId, options);
  }

  /** Deletes one of its checkpoints; forks are not affected. @throws NotFoundError */
  deleteCheckpoint(checkpointId: string, options: RequestOptions = {}): Promise<void> {
    return deleteCheckpoint(this.#http, this.#path, checkpointId, options);
  }

  /**
   * What happened to it, oldest first; pages are fetched as needed.
   *
   * @throws SandboxNotFoundError while iterating
   * @example
   * for await (const { time, kind, reason } of sandbox.events()) console.log(time, kind, reason);
   */
  events(options: Pick<RequestOptions, 'signal'> = {}): AsyncGenerator<SandboxEvent> {
    return events(this.#http, this.#path, options);
  }

  /**
   * Makes a URL under which anyone can GET the file, without a key.
   *
   * @param options.expiresIn - seconds, at most 86,400; default 3600
   * @throws InvalidRequestError when the path is invalid
   * @example
   * const url = await sandbox.downloadUrl('/app/report.pdf', { expiresIn: 600 });
   */
  downloadUrl(path: string, options: SignedUrlOptions = {}): Promise<string> {
    return signUrl(this.#http, this.#path, 'downloadUrl', path, options);
  }

  /**
   * Makes a URL to which anyone can PUT the content of the file, without a key.
   *
   * @param options.expiresIn - seconds, at most 86,400; default 3600
   * @throws InvalidRequestError when the path is invalid
   * @example
   * await fetch(await sandbox.uploadUrl('/app/input.csv'), { method: 'PUT', body });
   */
  uploadUrl(path: string, options: SignedUrlOptions = {}): Promise<string> {
    return signUrl(this.#http, this.#path, 'uploadUrl', path, options);
  }
}

/** One page of a list. */
export interface SandboxPage {
  sandboxes: Sandbox[];
  /** Where the next page begins; undefined on the last one. */
  nextCursor: string | undefined;
}

/** Sandboxes, newest first. Pages are fetched as they are needed. */
export class SandboxList implements AsyncIterable<Sandbox> {
  readonly #fetchPage: (cursor: string | undefined) => Promise<SandboxPage>;
  readonly #firstCursor: string | undefined;

  /** Internal: use `Sandbox.list`. */
  constructor(
    fetchPage: (cursor: string | undefined) => Promise<SandboxPage>,
    firstCursor: string | undefined,
  ) {
    this.#fetchPage = fetchPage;
    this.#firstCursor = firstCursor;
  }

  /** The sandboxes one by one. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Sandbox> {
    for await (const page of this.pages()) yield* page.sandboxes;
  }

  /**
   * The list page by page.
   *
   * @example
   * for await (const { sandboxes, nextCursor } of Sandbox.list({ limit: 50 }).pages()) show(sandboxes, nextCursor);
   */
  async *pages(): AsyncGenerator<SandboxPage> {
    let cursor = this.#firstCursor;
    do {
      const page = await this.#fetchPage(cursor);
      yield page;
      cursor = page.nextCursor;
    } while (cursor !== undefined);
  }
}
