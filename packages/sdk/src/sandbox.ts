import { checkOptions, requestOptions } from './check-options.ts';
import { resolveConnection } from './config.ts';
import {
  checkpointSegment,
  createCheckpointPatch,
  deleteCheckpointPatch,
  listAllCheckpoints,
  listCheckpointPatches,
  postFork,
  publishCheckpoint,
  unpublishCheckpoint,
} from './checkpoints.ts';
import { SandboxNotFoundError } from './errors.ts';
import { Exec } from './exec.ts';
import { Filesystem } from './files.ts';
import { Pty } from './pty.ts';
import { SandboxAgent } from './agent.ts';
import { SessionApi } from './sessions.ts';
import { HttpClient } from './http.ts';
import { optionNames } from './option-names.ts';
import { SandboxList } from './list.ts';
import { sandboxPath } from './sandbox-info.ts';
import { SandboxState } from './state.ts';
import type { ForkManyOptions, ForkOptions, ForkSelfOptions } from './checkpoints.ts';
import type { ConnectionOptions, RequestOptions } from './config.ts';
import type { ListOptions } from './list.ts';
import type { SandboxOptions, SignedUrlOptions } from './sandbox-info.ts';
import type { WireCreateSandbox, WireSandbox, WireSignedUrl } from './wire.ts';

const defaultTimeoutSeconds = 300;
/** A template or shape that the host has not used yet is prepared first. */
const createTimeoutMs = 300_000;

/** Where `Symbol.asyncDispose` is missing, `await using` is too; the method then has a name that nobody calls. */
const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? (Symbol('asyncDispose') as typeof Symbol.asyncDispose);

/**
 * A Linux virtual machine. Get one with `Sandbox.create` or `Sandbox.connect`.
 *
 * @example
 * await using sandbox = await Sandbox.create();
 * const { stdout } = await sandbox.exec.run('uname -a');
 */
export class Sandbox extends SandboxState implements AsyncDisposable {
  /** Runs commands. */
  readonly exec: Exec;
  /** Reads and writes files. */
  readonly files: Filesystem;
  /** Opens terminals. */
  readonly pty: Pty;
  /** Starts coding agents. */
  readonly agent: SandboxAgent;

  private constructor(http: HttpClient, data: WireSandbox) {
    super(http, data);
    const sessions = new SessionApi(http, this.path, () => this.data.token);
    this.exec = new Exec(http, this.path, sessions);
    this.files = new Filesystem(http, this.path);
    this.pty = new Pty(sessions);
    this.agent = new SandboxAgent(sessions);
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
   * Creates a sandbox from a checkpoint: its disk, and for a full one its memory and running processes, under an
   * identity of its own. Connections to the outside are lost. Waits for a checkpoint that is being written.
   *
   * @param options.timeout - idle seconds, 0: never; default 300
   * @param options.envs - laid over those of the checkpoint; `metadata` likewise
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
   * const workers = await Sandbox.fork(checkpoint.id, { count: 10 });
   */
  static async fork(checkpointId: string, options: ForkManyOptions = {}): Promise<Sandbox[]> {
    checkOptions('Sandbox.fork', options, optionNames.forkMany);
    const http = new HttpClient(resolveConnection(options));
    const path = `/sandboxes/from-checkpoint/${checkpointSegment(checkpointId)}`;
    return Sandbox.#forks(http, path, options);
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
  /** Keeps a checkpoint to its owner again. */
  static readonly unpublishCheckpoint = unpublishCheckpoint;

  /**
   * Takes a checkpoint of this sandbox, which goes on, and creates sandboxes from it: all or none.
   *
   * @param options.count - 1 to 50, default 1
   * @param options.name - keeps the checkpoint under this name; without one it is deleted once the forks stand
   * @throws SandboxStoppedError, LimitError, CapacityError, ConflictError when the name is taken
   * @example
   * const [left, right] = await sandbox.fork({ count: 2 });
   */
  async fork(options: ForkSelfOptions = {}): Promise<Sandbox[]> {
    checkOptions('sandbox.fork', options, optionNames.forkSelf);
    return Sandbox.#forks(this.http, `${this.path}/fork`, options);
  }

  static async #forks(http: HttpClient, path: string, options: ForkSelfOptions): Promise<Sandbox[]> {
    const extra = { count: options.count ?? 1, name: options.name };
    const { sandboxes } = (await postFork(http, path, options, extra)) as { sandboxes: WireSandbox[] };
    return sandboxes.map((data) => new Sandbox(http, data));
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
    const suffix = this.data.sandboxDomain;
    return suffix ? `${this.sandboxId}-p${port}.${suffix}` : '';
  }

  /**
   * Asks whether it runs, and updates `status` and `info`. False when it has ended or no longer exists.
   *
   * @throws AuthenticationError, ConnectionError, TimeoutError: when nobody knows, that is not "no"
   * @example
   * if (!(await sandbox.isRunning())) console.log(sandbox.info.statusReason);
   */
  async isRunning(options: RequestOptions = {}): Promise<boolean> {
    try {
      const limits = requestOptions('isRunning', options);
      const data = await this.http.json({ method: 'GET', path: this.path, ...limits });
      this.data = data as WireSandbox;
    } catch (error) {
      if (!(error instanceof SandboxNotFoundError)) throw error;
      this.data = { ...this.data, status: 'stopped' };
    }
    return this.data.status === 'running';
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
    const path = `${this.path}/timeout`;
    const limits = requestOptions('setTimeout', options);
    await this.http.done({ method: 'POST', path, json: { timeout: seconds }, ...limits });
    this.data = { ...this.data, timeout: seconds };
  }

  /**
   * Ends the sandbox and deletes its disk. Killing it again is fine.
   *
   * @throws SandboxNotFoundError, AuthenticationError, ConnectionError
   * @example
   * await sandbox.kill();
   */
  async kill(options: RequestOptions = {}): Promise<void> {
    await this.http.done({ method: 'DELETE', path: this.path, ...requestOptions('kill', options) });
    this.data = { ...this.data, status: 'stopped' };
  }

  /** Kills the sandbox at the end of an `await using` block. */
  async [asyncDispose](): Promise<void> {
    await this.kill();
  }

  /**
   * Makes a URL under which anyone can GET the file, without a key.
   *
   * @param options.expiresIn - seconds, at most 86,400; default 3600
   * @throws InvalidRequestError when the path is none
   * @example
   * const url = await sandbox.downloadUrl('/app/report.pdf', { expiresIn: 600 });
   */
  async downloadUrl(path: string, options: SignedUrlOptions = {}): Promise<string> {
    return this.#signedUrl('download-url', path, options);
  }

  /**
   * Makes a URL to which anyone can PUT the content of the file, without a key.
   *
   * @param options.expiresIn - seconds, at most 86,400; default 3600
   * @throws InvalidRequestError when the path is none
   * @example
   * await fetch(await sandbox.uploadUrl('/app/input.csv'), { method: 'PUT', body });
   */
  async uploadUrl(path: string, options: SignedUrlOptions = {}): Promise<string> {
    return this.#signedUrl('upload-url', path, options);
  }

  async #signedUrl(
    route: 'download-url' | 'upload-url',
    path: string,
    options: SignedUrlOptions,
  ): Promise<string> {
    const method = route === 'download-url' ? 'downloadUrl' : 'uploadUrl';
    const { expiresIn, ...limits } = checkOptions(method, options, optionNames.signedUrl);
    const signed = await this.http.json({
      method: 'POST',
      path: `${this.path}/files/${route}`,
      json: { path, expiresIn },
      ...limits,
    });
    return (signed as WireSignedUrl).url;
  }
}
