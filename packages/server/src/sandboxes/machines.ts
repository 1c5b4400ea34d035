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
import { onceAwake, whileAwake } from './waking.ts';

/**
 * What goes on inside machines. A call that finds its machine hibernated has done nothing: the machine is woken and
 * the call is made again.
 */
export class Machines {
  readonly #worker: WorkerClient;
  readonly #wake: (id: string) => Promise<void>;

  constructor(worker: WorkerClient, wake: (id: string) => Promise<void>) {
    this.#worker = worker;
    this.#wake = wake;
  }

  startCommand(id: string, request: GuestExecRequest, sentAt?: number): Promise<WorkerExecResult> {
    return this.#awake(id, () => this.#worker.startCommand(id, request, sentAt));
  }

  commandResult(id: string, execId: string, waitMs: number, signal?: AbortSignal): Promise<WorkerExecResult> {
    return this.#awake(id, () => this.#worker.commandResult(id, execId, waitMs, signal));
  }

  signalCommand(id: string, execId: string, signal: number): Promise<void> {
    return this.#awake(id, () => this.#worker.signalCommand(id, execId, signal));
  }

  listSessions(id: string): Promise<GuestSession[]> {
    return this.#awake(id, () => this.#worker.listSessions(id));
  }

  resizeTerminal(id: string, execId: string, size: TerminalSize): Promise<void> {
    return this.#awake(id, () => this.#worker.resizeTerminal(id, execId, size));
  }

  /** Attaches to a session. @param wake false: one that is found hibernated stays so, and is an error */
  attach(id: string, execId: string, query: URLSearchParams, wake: boolean): Promise<Duplex> {
    const attach = (): Promise<Duplex> => this.#worker.attach(id, execId, query);
    return wake ? this.#awake(id, attach) : attach();
  }

  openLogs(id: string, query: URLSearchParams, signal: AbortSignal): Promise<IncomingMessage> {
    return this.#awake(id, () => this.#worker.openLogs(id, query, signal));
  }

  statFile(id: string, path: string): Promise<GuestFileEntry> {
    return this.#awake(id, () => this.#worker.statFile(id, path));
  }

  readFile(id: string, path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    return this.#awake(id, () => this.#worker.readFile(id, path, signal));
  }

  /** The body can be read once only, so that nothing is tried again here. */
  async writeFile(id: string, path: string, body: Readable, length: number | undefined): Promise<void> {
    const refused = (cause: unknown): ApiError =>
      new ApiError('worker_unavailable', 'the sandbox was hibernated when the file arrived', {
        hint: 'It is awake now: send the file again.',
        cause,
      });
    await onceAwake(
      () => this.#wake(id),
      () => this.#worker.writeFile(id, path, body, length),
      refused,
    );
  }

  deleteFile(id: string, path: string): Promise<void> {
    return this.#awake(id, () => this.#worker.deleteFile(id, path));
  }

  listFiles(id: string, path: string, signal: AbortSignal): Promise<FileList> {
    return this.#awake(id, () => this.#worker.listFiles(id, path, signal));
  }

  makeDirectory(id: string, path: string): Promise<void> {
    return this.#awake(id, () => this.#worker.makeDirectory(id, path));
  }

  #awake<T>(id: string, call: () => Promise<T>): Promise<T> {
    return whileAwake(() => this.#wake(id), call);
  }
}
