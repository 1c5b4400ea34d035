import { eventually as waitFor } from '@opencomputer/testing/eventually';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect } from 'vitest';
import type { ExecTiming } from '../api/context.ts';
import type { ClientTiming } from '../sockets/client.ts';
import { addKey } from '../auth/keys.ts';
import { dataFiles, loadConfig } from '../config.ts';
import type { Log } from '../observe/log.ts';
import { type RunningServer, startServer } from '../server.ts';
import { openStore } from '../store/database.ts';
import type { Store } from '../store/tables.ts';
import { newPostgres } from './database.ts';
import { SimulatedWorker } from './simulated-worker.ts';

/** A log that says nothing. */
export const quietLog: Log = pino({ level: 'silent' });

/** A directory that is removed when it goes out of scope. */
export function temporaryDirectory(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'oc-server-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Waits until a condition holds. @throws Error when it does not within the time */
export async function eventually(what: string, holds: () => unknown, withinMs = 60_000): Promise<void> {
  await waitFor(what, holds, { withinMs });
}

/** Expects a time to be between two others. They are milliseconds, of clocks that are rounded to one each. */
export function expectBetween(time: number, from: number, to: number): void {
  expect(time).toBeGreaterThanOrEqual(from - 1);
  expect(time).toBeLessThanOrEqual(to + 1);
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- Tests look into answers of every form.
  readonly json: any;
}

/** A server over simulated workers, one as a rule, on a free port and a directory of its own. */
export class TestServer implements AsyncDisposable {
  readonly worker: SimulatedWorker;
  /** All of them; the first is `worker`. */
  readonly workers: readonly SimulatedWorker[];
  log: Log = quietLog;
  readonly directory: string;
  readonly key = `osb_${'0'.repeat(64)}`;
  readonly #temporary = temporaryDirectory();
  readonly #environment: Record<string, string>;
  readonly #timing: ExecTiming | undefined;
  /** Set before the server starts, or starts again. */
  clientTiming: ClientTiming | undefined;
  /** How long requests may take to finish when the server stops, in milliseconds. */
  graceMs: number | undefined;
  /** Where the packages of the clients are: set before the server starts again. */
  clients: string | undefined;
  #server: RunningServer | undefined;

  private constructor(environment: Record<string, string>, timing?: ExecTiming, workerIds: string[] = []) {
    this.directory = this.#temporary.path;
    const socket = join(this.directory, 'worker.sock');
    this.worker = new SimulatedWorker(socket);
    this.workers = [
      this.worker,
      ...workerIds.map((id) => new SimulatedWorker(join(this.directory, `${id}.sock`), id)),
    ];
    this.#timing = timing;
    this.#environment = {
      OPENCOMPUTER_DATA_DIR: this.directory,
      OPENCOMPUTER_LISTEN: '127.0.0.1:0',
      OPENCOMPUTER_WORKER_SOCKET: socket,
      OPENCOMPUTER_API_KEY: this.key,
      OPENCOMPUTER_LOG_LEVEL: 'silent',
      ...environment,
    };
  }

  static async start(environment: Record<string, string> = {}, timing?: ExecTiming): Promise<TestServer> {
    const url = await newPostgres();
    const database = url === undefined ? {} : { OPENCOMPUTER_DATABASE_URL: url };
    const test = new TestServer({ ...database, ...environment }, timing);
    await test.worker.listen();
    await test.startServer();
    return test;
  }

  /** Starts one with more workers than one, and waits until it knows all of them. */
  static async startWith(...moreWorkers: string[]): Promise<TestServer> {
    const url = await newPostgres();
    const test = new TestServer(
      url === undefined ? {} : { OPENCOMPUTER_DATABASE_URL: url },
      undefined,
      moreWorkers,
    );
    for (const worker of test.workers) await worker.listen();
    await test.startServer();
    await test.allConnected();
    return test;
  }

  /** Waits until the server is connected to all workers. */
  async allConnected(): Promise<void> {
    await eventually('all connected', async () => {
      const { text } = await this.call('GET', '/metrics');
      return text.split(/^opencomputer_worker_reachable\{.*\} 1$/m).length > this.workers.length;
    });
  }

  get url(): string {
    return this.server.url;
  }

  get server(): RunningServer {
    if (this.#server === undefined) throw new Error('the server is stopped');
    return this.#server;
  }

  get environment(): Record<string, string> {
    return this.#environment;
  }

  /** Starts the server and waits until it knows the worker, if there is one. */
  async startServer(awaitWorker = true): Promise<void> {
    const timing = this.#timing === undefined ? {} : { timing: this.#timing };
    const clientTiming = this.clientTiming === undefined ? {} : { clientTiming: this.clientTiming };
    const config = loadConfig(this.#environment);
    const workerSockets = this.workers.map(({ socketPath }) => socketPath);
    this.#server = await startServer(
      { ...config, workerSockets },
      {
        log: this.log,
        ...timing,
        ...clientTiming,
        ...(this.graceMs === undefined ? {} : { graceMs: this.graceMs }),
        ...(this.clients === undefined ? {} : { clients: this.clients }),
      },
    );
    if (awaitWorker)
      await eventually('ready', async () => (await this.call('GET', '/readyz')).status === 200);
  }

  async stopServer(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }

  /** Makes a request with the key; `body` is sent as JSON, or as it is when it is a string or bytes. */
  async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const raw = typeof body === 'string' || body instanceof Uint8Array;
    const init = body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) };
    const response = await fetch(this.url + path, {
      method,
      headers: { 'x-api-key': this.key, 'content-type': 'application/json', ...headers },
      ...init,
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') ?? false;
    const { status } = response;
    return { status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
  }

  /** Creates a sandbox and returns its id. */
  async create(body: object = {}): Promise<string> {
    const answer = await this.call('POST', '/api/sandboxes', body);
    if (answer.status !== 201) throw new Error(`create answered ${answer.status} ${answer.text}`);
    return answer.json.sandboxID;
  }

  /** Opens the server's database beside it. */
  openStore(): Promise<Store> {
    return openStore(this.#environment['OPENCOMPUTER_DATABASE_URL'] ?? dataFiles(this.directory).database);
  }

  /** Makes a key of another owner. */
  async anotherKey(owner: string): Promise<string> {
    const store = await this.openStore();
    const { key } = await addKey(store, owner, owner);
    await store.destroy();
    return key;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopServer();
    for (const worker of this.workers) await worker.kill();
    this.#temporary[Symbol.dispose]();
  }
}
