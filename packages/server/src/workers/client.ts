import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { z } from 'zod';
import {
  ApiError,
  type GuestExecRequest,
  guestExecResultBytes,
  guestExecResultSchema,
  type FileList,
  type GuestFileEntry,
  guestFileEntrySchema,
  type GuestSession,
  guestSessionListSchema,
  type GuestUse,
  guestUseSchema,
  hibernationSchema,
  type MachineInfo,
  machineInfoSchema,
  machineListSchema,
  type MachineSpec,
  readFileList,
  type SnapshotInfo,
  snapshotInfoSchema,
  type SnapshotList,
  snapshotListSchema,
  type SnapshotRequest,
  type TerminalSize,
  type WorkerInfo,
  workerInfoSchema,
  workerPaths,
} from '@opencomputer/protocol';
import type { Metrics } from '../observe/metrics.ts';
import { WorkerTransport } from './transport.ts';

const mebibyte = 1024 * 1024;
const defaultTimeoutMs = 30_000;
/** A change of the machine's life may be waited for before. */
const attachTimeoutMs = 150_000;
/** How much longer than the wait that was asked for an answer may take. */
const waitMarginMs = 15_000;

/** The worker has checked the base64 already; checking megabytes again would hold up everybody. */
const execResultSchema = guestExecResultSchema.extend({ stdout: z.string(), stderr: z.string() });
export type WorkerExecResult = z.infer<typeof execResultSchema>;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

/** The API of one worker. Every answer is parsed; failures are ApiErrors, `worker_unavailable` among them. */
export class WorkerClient {
  readonly #transport: WorkerTransport;

  constructor(socketPath: string, metrics?: Metrics) {
    this.#transport = new WorkerTransport(socketPath, metrics);
  }

  async info(): Promise<WorkerInfo> {
    return parse(workerInfoSchema, await this.#json('info', 'GET', workerPaths.worker));
  }

  async listMachines(): Promise<MachineInfo[]> {
    const answer = await this.#json('listMachines', 'GET', workerPaths.machines);
    return parse(machineListSchema, answer).machines;
  }

  /** Makes a machine, or finds it when it is there. Answers once it takes commands. */
  async putMachine(id: string, spec: MachineSpec, options: CallOptions): Promise<MachineInfo> {
    const path = workerPaths.machine(id);
    return parse(machineInfoSchema, await this.#json('putMachine', 'PUT', path, spec, options));
  }

  async deleteMachine(id: string, options?: CallOptions): Promise<void> {
    await this.#json('deleteMachine', 'DELETE', workerPaths.machine(id), undefined, options);
  }

  async machine(id: string): Promise<MachineInfo> {
    return parse(machineInfoSchema, await this.#json('machine', 'GET', workerPaths.machine(id)));
  }

  /** Saves the memory of a machine and ends it; one that is hibernated stays so. Returns the bytes it takes. */
  async hibernate(id: string, options: CallOptions): Promise<{ sizeBytes: number }> {
    const path = workerPaths.hibernate(id);
    return parse(hibernationSchema, await this.#json('hibernate', 'POST', path, undefined, options));
  }

  /** Wakes a machine; one that runs stays so, one that has failed boots from its disk. */
  async wake(id: string, options: CallOptions): Promise<MachineInfo> {
    return parse(
      machineInfoSchema,
      await this.#json('wake', 'POST', workerPaths.wake(id), undefined, options),
    );
  }

  /** Starts a machine anew from its disk; `hard` without asking its system to shut down. */
  async reboot(id: string, hard: boolean, options: CallOptions): Promise<MachineInfo> {
    const path = workerPaths.reboot(id);
    return parse(machineInfoSchema, await this.#json('reboot', 'POST', path, { hard }, options));
  }

  /** Puts a machine back to a snapshot. */
  async restore(id: string, snapshot: string, options: CallOptions): Promise<MachineInfo> {
    const path = workerPaths.restore(id);
    return parse(machineInfoSchema, await this.#json('restore', 'POST', path, { snapshot }, options));
  }

  /** Takes a snapshot, or finds it when it is there. */
  async putSnapshot(id: string, request: SnapshotRequest, options: CallOptions): Promise<SnapshotInfo> {
    const path = workerPaths.snapshot(id);
    return parse(snapshotInfoSchema, await this.#json('putSnapshot', 'PUT', path, request, options));
  }

  async listSnapshots(): Promise<SnapshotList> {
    const answer = await this.#json('listSnapshots', 'GET', workerPaths.snapshots);
    return parse(snapshotListSchema, answer);
  }

  async deleteSnapshot(id: string, options?: CallOptions): Promise<void> {
    await this.#json('deleteSnapshot', 'DELETE', workerPaths.snapshot(id), undefined, options);
  }

  /**
   * Starts a command and waits for its end, `waitMs` at most.
   * @param sentAt when it was sent first, in Unix milliseconds, if it was sent before: it is started only if it certainly
   *   did not run
   * @throws ApiError `exec_not_found` where it may have run
   */
  async startCommand(id: string, request: GuestExecRequest, sentAt?: number): Promise<WorkerExecResult> {
    const options = { timeoutMs: (request.waitMs ?? 0) + waitMarginMs };
    const path = `${workerPaths.exec(id)}${sentAt === undefined ? '' : `?sentAt=${sentAt}`}`;
    const answer = await this.#json('startCommand', 'POST', path, request, options);
    return parse(execResultSchema, answer);
  }

  /** The state of a command, after `waitMs` at most. */
  async commandResult(
    id: string,
    execId: string,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<WorkerExecResult> {
    const path = `${workerPaths.execResult(id, execId)}?waitMs=${waitMs}`;
    const options = { timeoutMs: waitMs + waitMarginMs, signal };
    return parse(execResultSchema, await this.#json('commandResult', 'GET', path, undefined, options));
  }

  async signalCommand(id: string, execId: string, signal: number): Promise<void> {
    await this.#json('signalCommand', 'POST', workerPaths.execSignal(id, execId), { signal });
  }

  /** The commands that the agent of a machine knows of. */
  async listSessions(id: string): Promise<GuestSession[]> {
    const answer = await this.#json('listSessions', 'GET', workerPaths.exec(id));
    return parse(guestSessionListSchema, answer).sessions;
  }

  /** What keeps a machine awake. */
  async use(id: string): Promise<GuestUse> {
    return parse(guestUseSchema, await this.#json('use', 'GET', workerPaths.use(id)));
  }

  async resizeTerminal(id: string, execId: string, size: TerminalSize): Promise<void> {
    await this.#json('resizeTerminal', 'POST', workerPaths.execResize(id, execId), size);
  }

  /** Attaches to a session: the connection carries the agent's frames. The caller closes it. */
  attach(id: string, execId: string, query: URLSearchParams): Promise<Duplex> {
    const path = `${workerPaths.execAttach(id, execId)}?${query.toString()}`;
    return this.#transport.upgrade({ name: 'attach', method: 'POST', path, timeoutMs: attachTimeoutMs });
  }

  /** Opens the logs of a machine, one JSON object per line; the caller reads or destroys the answer. */
  openLogs(id: string, query: URLSearchParams, signal: AbortSignal): Promise<IncomingMessage> {
    const path = `${workerPaths.logs(id)}?${query.toString()}`;
    return this.#transport.open({
      name: 'openLogs',
      method: 'GET',
      path,
      timeoutMs: attachTimeoutMs,
      signal,
    });
  }

  async statFile(id: string, path: string): Promise<GuestFileEntry> {
    return parse(guestFileEntrySchema, await this.#json('statFile', 'GET', filesPath(id, '/stat', path)));
  }

  /** Opens a file; the caller reads or destroys the answer. */
  readFile(id: string, path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    return this.#transport.open({
      name: 'readFile',
      method: 'GET',
      path: filesPath(id, '', path),
      timeoutMs: defaultTimeoutMs,
      signal,
    });
  }

  /** Writes a file from a stream. When the stream fails, the request is broken off and nothing changes. */
  async writeFile(id: string, path: string, body: Readable, length: number | undefined): Promise<void> {
    const response = await this.#transport.open({
      name: 'writeFile',
      method: 'PUT',
      path: filesPath(id, '', path),
      stream: { body, length },
      timeoutMs: 4 * defaultTimeoutMs,
    });
    response.resume();
  }

  async deleteFile(id: string, path: string): Promise<void> {
    const options = { timeoutMs: 4 * defaultTimeoutMs };
    await this.#json('deleteFile', 'DELETE', filesPath(id, '', path), undefined, options);
  }

  /** Opens the list of a directory; the caller reads it, or aborts. */
  async listFiles(id: string, path: string, signal: AbortSignal): Promise<FileList> {
    const answer = await this.#transport.open({
      name: 'listFiles',
      method: 'GET',
      path: filesPath(id, '/list', path),
      timeoutMs: defaultTimeoutMs,
      signal,
    });
    return readFileList(answer);
  }

  async makeDirectory(id: string, path: string): Promise<void> {
    await this.#json('makeDirectory', 'POST', filesPath(id, '/mkdir', path));
  }

  /** The stream of events, one JSON object per line. */
  events(signal: AbortSignal): Promise<IncomingMessage> {
    return this.#transport.open({
      name: 'events',
      method: 'GET',
      path: workerPaths.events,
      timeoutMs: defaultTimeoutMs,
      signal,
    });
  }

  close(): void {
    this.#transport.close();
  }

  #json(
    name: string,
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    json?: unknown,
    options: CallOptions = {},
  ): Promise<unknown> {
    const call = { name, method, path, json, timeoutMs: defaultTimeoutMs, ...options };
    return this.#transport.json(call, guestExecResultBytes + mebibyte);
  }
}

function filesPath(id: string, part: '' | '/list' | '/mkdir' | '/stat', path: string): string {
  return `${workerPaths.files(id)}${part}?path=${encodeURIComponent(path)}`;
}

function parse<T>(schema: z.ZodType<T>, answer: unknown): T {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new ApiError('internal', 'the worker answered something that makes no sense', {
    cause: parsed.error,
  });
}
