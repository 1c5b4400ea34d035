import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import {
  ApiError,
  type FileList,
  type GuestExecRequest,
  type GuestFileEntry,
  type GuestSession,
  type TerminalSize,
} from '@opencomputer/protocol';
import type { WorkerClient, WorkerExecResult } from '../workers/client.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import { onceAwake, whileAwake } from './waking.ts';

/**
 * What goes on inside machines. A call that finds its machine hibernated has done nothing: the machine is woken and
 * the call is made again.
 */
export class Machines {
  readonly #workers: Pick<WorkerRegistry, 'ofSandbox'>;
  readonly #wake: (id: string) => Promise<void>;

  constructor(workers: Pick<WorkerRegistry, 'ofSandbox'>, wake: (id: string) => Promise<void>) {
    this.#workers = workers;
    this.#wake = wake;
  }

  startCommand(id: string, request: GuestExecRequest, sentAt?: number): Promise<WorkerExecResult> {
    return this.#awake(id, (worker) => worker.startCommand(id, request, sentAt));
  }

  commandResult(id: string, execId: string, waitMs: number, signal?: AbortSignal): Promise<WorkerExecResult> {
    return this.#awake(id, (worker) => worker.commandResult(id, execId, waitMs, signal));
  }

  signalCommand(id: string, execId: string, signal: number): Promise<void> {
    return this.#awake(id, (worker) => worker.signalCommand(id, execId, signal));
  }

  listSessions(id: string): Promise<GuestSession[]> {
    return this.#awake(id, (worker) => worker.listSessions(id));
  }

  resizeTerminal(id: string, execId: string, size: TerminalSize): Promise<void> {
    return this.#awake(id, (worker) => worker.resizeTerminal(id, execId, size));
  }

  /** Attaches to a session. @param wake false: one that is found hibernated stays so, and is an error */
  attach(id: string, execId: string, query: URLSearchParams, wake: boolean): Promise<Duplex> {
    const attach = (worker: WorkerClient): Promise<Duplex> => worker.attach(id, execId, query);
    return wake ? this.#awake(id, attach) : this.#workers.ofSandbox(id).then(attach);
  }

  openLogs(id: string, query: URLSearchParams, signal: AbortSignal): Promise<IncomingMessage> {
    return this.#awake(id, (worker) => worker.openLogs(id, query, signal));
  }

  statFile(id: string, path: string): Promise<GuestFileEntry> {
    return this.#awake(id, (worker) => worker.statFile(id, path));
  }

  readFile(id: string, path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    return this.#awake(id, (worker) => worker.readFile(id, path, signal));
  }

  /**
   * The body can be read once only, so that nothing is tried again here.
   * @param open opens the body, once something reads it: a stream that fails before would have nobody to hear of it
   */
  async writeFile(id: string, path: string, open: () => Readable, length: number | undefined): Promise<void> {
    const refused = (cause: unknown): ApiError =>
      new ApiError('worker_unavailable', 'the sandbox was hibernated when the file arrived', {
        hint: 'It is awake now: send the file again.',
        cause,
      });
    const worker = await this.#workers.ofSandbox(id);
    await onceAwake(
      () => this.#wake(id),
      () => worker.writeFile(id, path, open(), length),
      refused,
    );
  }

  deleteFile(id: string, path: string): Promise<void> {
    return this.#awake(id, (worker) => worker.deleteFile(id, path));
  }

  listFiles(id: string, path: string, signal: AbortSignal): Promise<FileList> {
    return this.#awake(id, (worker) => worker.listFiles(id, path, signal));
  }

  makeDirectory(id: string, path: string): Promise<void> {
    return this.#awake(id, (worker) => worker.makeDirectory(id, path));
  }

  #awake<T>(id: string, call: (worker: WorkerClient) => Promise<T>): Promise<T> {
    return whileAwake(
      () => this.#wake(id),
      async () => call(await this.#workers.ofSandbox(id)),
    );
  }
}
