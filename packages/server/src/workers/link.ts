import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type MachineEvent, machineEventSchema, type WorkerInfo } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';
import type { WorkerClient } from './client.ts';

/** A stream that is silent for so long is taken for dead; the worker sends heartbeats. */
const silenceMs = 30_000;
const firstRetryMs = 100;
const maxRetryMs = 3000;
const lineBytes = 64 * 1024;

export interface LinkHandlers {
  /** Who is there. It counts as connected once this has ended; what it throws breaks the connection. */
  met(info: WorkerInfo): Promise<void>;
  /** The worker is there (again). */
  connected(): void;
  disconnected(): void;
  failed(id: string, reason: string): void;
  /** The guest of a machine has restarted by itself. */
  restarted(id: string): void;
}

/** Follows the event stream of a worker and connects again when it breaks. */
export class WorkerLink {
  readonly #client: WorkerClient;
  readonly #handlers: LinkHandlers;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #connected = false;

  constructor(client: WorkerClient, handlers: LinkHandlers, log: Log) {
    this.#client = client;
    this.#handlers = handlers;
    this.#log = log;
  }

  /** True while the event stream is open. */
  get connected(): boolean {
    return this.#connected;
  }

  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let retryMs = firstRetryMs;
    let complained = false;
    while (!signal.aborted) {
      try {
        await this.#follow(() => {
          retryMs = firstRetryMs;
          complained = false;
        });
      } catch (error) {
        if (!signal.aborted && !complained) this.#log.warn({ err: error }, 'worker not reachable');
        complained = true;
      }
      if (signal.aborted) break;
      // The wait ends early, by an exception, when the link is closed.
      await delay(retryMs, undefined, { signal }).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
      retryMs = Math.min(retryMs * 2, maxRetryMs);
    }
  }

  async #follow(onConnected: () => void): Promise<void> {
    const stream = await this.#client.events(this.#stop.signal);
    let timer: NodeJS.Timeout | undefined;
    const expectMore = (): void => {
      clearTimeout(timer);
      timer = setTimeout(
        () => stream.destroy(new Error(`silent for ${silenceMs / 1000} s`)),
        silenceMs,
      ).unref();
    };
    expectMore();
    try {
      for await (const line of linesOf(stream)) {
        expectMore();
        await this.#handle(line, onConnected);
      }
      this.#log.warn('the worker closed its event stream');
    } finally {
      clearTimeout(timer);
      stream.destroy();
      if (this.#connected) this.#handlers.disconnected();
      this.#connected = false;
    }
  }

  async #handle(line: string, onConnected: () => void): Promise<void> {
    const event = parseEvent(line);
    if (event === undefined) {
      this.#log.warn({ line: line.slice(0, 200) }, 'the worker sent an event that makes no sense');
      return;
    }
    if (event.type === 'machineFailed') this.#handlers.failed(event.id, event.reason.slice(0, 1000));
    if (event.type === 'machineRestarted') this.#handlers.restarted(event.id);
    if (event.type !== 'hello') return;
    const info = await this.#client.info();
    await this.#handlers.met(info);
    this.#connected = true;
    onConnected();
    this.#log.info(
      { workerId: info.workerId, accelerator: info.accelerator, machines: info.machines },
      'worker connected',
    );
    this.#handlers.connected();
  }
}

async function* linesOf(stream: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lineBytes) throw new Error(`a line of the event stream is longer than ${lineBytes}`);
    yield* lines.filter((line) => line !== '');
  }
}

function parseEvent(line: string): MachineEvent | undefined {
  try {
    return machineEventSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
