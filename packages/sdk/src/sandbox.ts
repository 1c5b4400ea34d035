import { invalidOption, resolveConnection } from './config.ts';
import { SandboxNotFoundError, ServerError } from './errors.ts';
import { Exec } from './exec.ts';
import { Filesystem } from './files.ts';
import { HttpClient } from './http.ts';
import { SandboxList } from './list.ts';
import type { ConnectionOptions, RequestOptions } from './config.ts';
import type { ListOptions } from './list.ts';
import type { SandboxStatus, WireCreateSandbox, WireSandbox, WireSignedUrl } from './wire.ts';

const defaultTimeoutSeconds = 300;
/** A template or shape that the host has not used yet is prepared first. */
const createTimeoutMs = 300_000;
/** How the server says "never" where a time is due. */
const never = '0001-01-01T00:00:00Z';

/** Options of `Sandbox.create`. */
export interface SandboxOptions extends ConnectionOptions {
  /** Template of the root file system. Default `base`. */
  template?: string | undefined;
  /** Idle timeout in seconds; every operation restarts it. 0: never. Default 300. */
  timeout?: number | undefined;
  /** Environment variables of every command. */
  envs?: Record<string, string> | undefined;
  /** Key-value pairs of your own, stored with the sandbox; `Sandbox.list` filters by them. */
  metadata?: Record<string, string> | undefined;
  /** Virtual CPUs, 1 to 4. Default: the server's, 1. */
  cpuCount?: number | undefined;
  /** Memory in MiB, 128 to 2048 unless the server allows more. Default: the server's, 1024. */
  memoryMB?: number | undefined;
  /** Root disk in MiB. Default: the server's, 20480. */
  diskMB?: number | undefined;
}

/** What is known about a sandbox, as of the last answer about it. */
export interface SandboxInfo {
  sandboxId: string;
  status: SandboxStatus;
  /** Why it is stopped or failed. */
  statusReason: string | undefined;
  template: string;
  cpuCount: number;
  memoryMB: number;
  diskMB: number;
  metadata: Readonly<Record<string, string>>;
  /** Idle timeout in seconds; 0 means never. */
  timeout: number;
  startedAt: Date;
  /** When it expires if nothing happens; undefined when never. */
  endAt: Date | undefined;
  region: string;
  workerId: string;
  /** True where the host has no KVM: software emulation is not an isolation boundary. */
  emulated: boolean;
}

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
export class Sandbox implements AsyncDisposable {
  /** Id, for `Sandbox.connect`. */
  readonly sandboxId: string;
  /** Runs commands. */
  readonly exec: Exec;
  /** Reads and writes files. */
  readonly files: Filesystem;
  readonly #http: HttpClient;
  readonly #path: string;
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
    this.exec = new Exec(http, this.#path);
    this.files = new Filesystem(http, this.#path);
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

  /** The same as `sandboxId`. */
  get id(): string {
    return this.sandboxId;
  }

  /** Another name of `exec`. */
  get commands(): Exec {
    return this.exec;
  }

  /** State as of the last answer about it; `isRunning` asks for the current one. */
  get status(): SandboxStatus {
    return this.#data.status;
  }

  /** The key-value pairs given to `create`. */
  get metadata(): Readonly<Record<string, string>> {
    return this.info.metadata;
  }

  /** What is known about it, as of the last answer. */
  get info(): SandboxInfo {
    const { sandboxID, templateID, workerID, startedAt, endAt, ...data } = this.#data;
    return {
      sandboxId: sandboxID,
      status: data.status,
      statusReason: data.statusReason,
      template: templateID,
      cpuCount: data.cpuCount,
      memoryMB: data.memoryMB,
      diskMB: data.diskMB,
      metadata: { ...data.metadata },
      timeout: data.timeout,
      startedAt: new Date(startedAt),
      endAt: endAt === never ? undefined : new Date(endAt),
      region: data.region,
      workerId: workerID,
      emulated: data.emulated,
    };
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
   * @throws AuthenticationError, ConnectionError, TimeoutError: when nobody knows, that is not "no"
   * @example
   * if (!(await sandbox.isRunning())) console.log(sandbox.info.statusReason);
   */
  async isRunning(options: RequestOptions = {}): Promise<boolean> {
    try {
      const data = await this.#http.json({ method: 'GET', path: this.#path, ...options });
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
    await this.#http.done({ method: 'POST', path, json: { timeout: seconds }, ...options });
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
    await this.#http.done({ method: 'DELETE', path: this.#path, ...options });
    this.#data = { ...this.#data, status: 'stopped' };
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

  async #signedUrl(route: string, path: string, options: SignedUrlOptions): Promise<string> {
    const { expiresIn, ...limits } = options;
    const signed = await this.#http.json({
      method: 'POST',
      path: `${this.#path}/files/${route}`,
      json: { path, expiresIn },
      ...limits,
    });
    return (signed as WireSignedUrl).url;
  }
}

/** Options of `downloadUrl` and `uploadUrl`. */
export interface SignedUrlOptions extends RequestOptions {
  /** Seconds until the URL stops working, at most 86,400. Default 3600. */
  expiresIn?: number | undefined;
}

/** @throws InvalidRequestError when the id would name another route. */
function sandboxPath(sandboxId: string): string {
  if (typeof sandboxId !== 'string' || !/^[\w-]+$/.test(sandboxId))
    throw invalidOption(`${JSON.stringify(sandboxId)} is not a sandbox id`, 'Ids look like sb-0a1b2c3d.');
  return `/sandboxes/${sandboxId}`;
}
