import { checkOptions, requestOptions } from './check-options.ts';
import { changeTimeoutMs, checkpointSegment, pages } from './checkpoints.ts';
import { ServerError } from './errors.ts';
import { optionNames } from './option-names.ts';
import { sandboxPath, toSandboxInfo } from './sandbox-info.ts';
import type { CheckpointInfo, CreateCheckpointOptions } from './checkpoints.ts';
import type { RequestOptions } from './config.ts';
import type { HttpClient } from './http.ts';
import type { SandboxInfo } from './sandbox-info.ts';
import type { SandboxStatus, WireEvent, WireSandbox } from './wire.ts';

/** Options of `wake`. */
export interface WakeOptions extends RequestOptions {
  /** Idle timeout from now on, in seconds; 0: never. Default: the one it had. */
  timeout?: number | undefined;
}

/** Something that happened to a sandbox. */
export interface SandboxEvent {
  id: number;
  time: Date;
  actor: 'client' | 'system';
  /** What happened, such as `hibernate`. */
  kind: string;
  reason: string | undefined;
}

/** `util.inspect.custom` of Node.js, which this package does without, as browsers do. */
const inspectSymbol = Symbol.for('nodejs.util.inspect.custom');

/** The state of a sandbox: hibernation, checkpoints, restarts. `Sandbox` has all of it. */
export abstract class SandboxState {
  /** Id, for `Sandbox.connect`. */
  readonly sandboxId: string;
  readonly #http: HttpClient;
  readonly #path: string;
  /** The last answer about it. Private by name, like the key that `#http` holds: a token is in it. */
  #data: WireSandbox;

  /** Internal: use `Sandbox.create` or `Sandbox.connect`. */
  protected constructor(http: HttpClient, data: WireSandbox) {
    if (typeof data.sandboxID !== 'string' || data.sandboxID === '')
      throw new ServerError('the server answered with a sandbox that has no id', {
        code: 'unexpected_answer',
        hint: 'Check that apiUrl is the address of an OpenComputer server.',
      });
    this.sandboxId = data.sandboxID;
    this.#http = http;
    this.#data = data;
    this.#path = sandboxPath(data.sandboxID);
  }

  /** Internal. */
  protected get http(): HttpClient {
    return this.#http;
  }

  /** Internal. */
  protected get path(): string {
    return this.#path;
  }

  /** Internal: the last answer about it. */
  protected get data(): WireSandbox {
    return this.#data;
  }

  protected set data(data: WireSandbox) {
    this.#data = data;
  }

  /** The same as `sandboxId`. */
  get id(): string {
    return this.sandboxId;
  }

  /** State as of the last answer about it; `isRunning` asks for the current one. */
  get status(): SandboxStatus {
    return this.data.status;
  }

  /** What is known about it, as of the last answer. */
  get info(): SandboxInfo {
    return toSandboxInfo(this.data);
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

  /**
   * Saves memory and processes to disk; nothing of it runs until any operation, or `wake`, wakes it where it was.
   * If it cannot be saved it goes on running.
   *
   * @throws SandboxStoppedError, SandboxNotFoundError; CapacityError when the disk is full; LimitError
   * @example
   * await sandbox.hibernate();
   */
  async hibernate(options: RequestOptions = {}): Promise<void> {
    await this.http.json(this.#change('hibernate', {}, requestOptions('hibernate', options)));
    this.data = { ...this.data, status: 'hibernated' };
  }

  /**
   * Wakes it with its memory and processes; a running one stays so, one in error is started from its disk.
   * Where its memory cannot be restored it is started from its disk, and `info.coldBootReason` says why.
   *
   * @param options.timeout - idle timeout from now on, in seconds, 0: never; default: the one it had
   * @throws SandboxStoppedError, SandboxNotFoundError; LimitError, CapacityError when there is no room for it
   * @example
   * await sandbox.wake({ timeout: 600 });
   */
  async wake(options: WakeOptions = {}): Promise<void> {
    const { timeout, ...limits } = checkOptions('wake', options, optionNames.wake);
    const data = await this.http.json(this.#change('wake', { timeout }, limits));
    this.data = data as WireSandbox;
  }

  /**
   * Shuts its system down and starts it again. Id, disk and environment are kept, processes are lost.
   *
   * @throws SandboxStoppedError, SandboxNotFoundError, CapacityError
   * @example
   * await sandbox.reboot();
   */
  async reboot(options: RequestOptions = {}): Promise<void> {
    await this.http.done(this.#change('reboot', {}, requestOptions('reboot', options)));
    this.data = { ...this.data, status: 'running' };
  }

  /**
   * Turns it off and on without asking its system; what had not been written to the disk is lost.
   *
   * @throws SandboxStoppedError, SandboxNotFoundError, CapacityError
   * @example
   * await sandbox.powerCycle();
   */
  async powerCycle(options: RequestOptions = {}): Promise<void> {
    await this.http.done(this.#change('power-cycle', {}, requestOptions('powerCycle', options)));
    this.data = { ...this.data, status: 'running' };
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
  async createCheckpoint(name: string, options: CreateCheckpointOptions = {}): Promise<CheckpointInfo> {
    checkOptions('createCheckpoint', options, optionNames.checkpoint);
    const { kind, promoteToFull, requireQuiesced, retentionPolicy, ...limits } = options;
    const json = { name, kind, promoteToFull, requireQuiesced, retentionPolicy };
    return (await this.http.json(this.#change('checkpoints', json, limits))) as CheckpointInfo;
  }

  /** Lists its checkpoints, newest first. @throws SandboxNotFoundError */
  async listCheckpoints(options: RequestOptions = {}): Promise<CheckpointInfo[]> {
    const path = `${this.path}/checkpoints`;
    const limits = requestOptions('listCheckpoints', options);
    return (await this.http.json({ method: 'GET', path, ...limits })) as CheckpointInfo[];
  }

  /**
   * Puts it back to one of its checkpoints: memory, processes and disk; what came after is lost.
   *
   * @throws NotFoundError; InvalidRequestError for the checkpoint of another sandbox; ConflictError when it has failed
   * @example
   * await sandbox.restoreCheckpoint(checkpoint.id);
   */
  async restoreCheckpoint(checkpointId: string, options: RequestOptions = {}): Promise<void> {
    const route = `checkpoints/${checkpointSegment(checkpointId)}/restore`;
    requestOptions('restoreCheckpoint', options);
    await this.http.json(this.#change(route, {}, options));
    this.data = (await this.http.json({ method: 'GET', path: this.path, ...options })) as WireSandbox;
  }

  /** Deletes one of its checkpoints; forks are not affected. @throws NotFoundError */
  async deleteCheckpoint(checkpointId: string, options: RequestOptions = {}): Promise<void> {
    const path = `${this.path}/checkpoints/${checkpointSegment(checkpointId)}`;
    await this.http.done({ method: 'DELETE', path, ...requestOptions('deleteCheckpoint', options) });
  }

  /**
   * What happened to it, oldest first; pages are fetched as needed.
   *
   * @throws SandboxNotFoundError while iterating
   * @example
   * for await (const { time, kind, reason } of sandbox.events()) console.log(time, kind, reason);
   */
  async *events(options: Pick<RequestOptions, 'signal'> = {}): AsyncGenerator<SandboxEvent> {
    checkOptions('events', options, optionNames.events);
    for await (const event of pages<WireEvent>(this.http, `${this.path}/events`, options.signal))
      yield { ...event, time: new Date(event.time), reason: event.reason };
  }

  #change(route: string, json: object, options: RequestOptions) {
    const path = `${this.path}/${route}`;
    return { method: 'POST', path, json, defaultTimeoutMs: changeTimeoutMs, ...options } as const;
  }
}
