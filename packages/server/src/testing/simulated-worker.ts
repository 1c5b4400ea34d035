import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  ApiError,
  type GuestExecRequest,
  type MachineInfo,
  machineSpecSchema,
  type WorkerInfo,
} from '@opencomputer/protocol';
import { SimulatedCommands } from './simulated-commands.ts';
import { SimulatedFiles } from './simulated-files.ts';

/** What the next call of a kind does instead of its work. */
export type Fault =
  /** Breaks the connection before the work. */
  | 'refuse'
  /** Does the work and breaks the connection instead of answering. */
  | 'dieAfter'
  /** Sends the header and half of the answer, then breaks the connection. */
  | 'dieMidAnswer'
  /** Never answers. */
  | 'hang'
  | ApiError;

interface Machine {
  info: MachineInfo;
  readonly commands: SimulatedCommands;
  readonly files: SimulatedFiles;
}

/** A worker without machines: the worker's API over a unix socket, with files in memory and a few commands. */
export class SimulatedWorker {
  readonly machines = new Map<string, Machine>();
  /** Every call: `PUT machine`, `POST exec`... */
  readonly calls: string[] = [];
  templates = ['base'];
  /** Milliseconds that a start takes. */
  startMs = 0;
  readonly #socketPath: string;
  readonly #faults = new Map<string, Fault[]>();
  readonly #streams = new Set<ServerResponse>();
  #server: Server | undefined;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => answerError(response, error));
    });
    this.#server = server;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen(this.#socketPath, resolve);
    await promise;
  }

  /** Stops as a killed process does: every connection breaks. Machines stay. */
  async kill(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server?.close(() => resolve());
    this.#server?.closeAllConnections();
    await promise;
    this.#server = undefined;
    this.#streams.clear();
  }

  /** Makes the next `times` calls of a kind, e.g. `PUT machine`, fail. */
  fail(call: string, fault: Fault, times = 1): void {
    this.#faults.set(call, [...(this.#faults.get(call) ?? []), ...Array<Fault>(times).fill(fault)]);
  }

  /** Ends a machine as a crash of its process does. */
  failMachine(id: string, reason: string, tell = true): void {
    const machine = this.machine(id);
    machine.info = { ...machine.info, state: 'failed', reason };
    if (tell) this.send({ type: 'machineFailed', id, reason });
  }

  send(event: object): void {
    for (const stream of this.#streams) stream.write(`${JSON.stringify(event)}\n`);
  }

  machine(id: string): Machine {
    const machine = this.machines.get(id);
    if (machine === undefined) throw new ApiError('sandbox_not_found', `no machine ${id}`);
    return machine;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://worker');
    const [, , kind = '', id = '', part = '', rest = ''] = url.pathname.split('/');
    const noun = kind === 'machines' && id !== '' ? part || 'machine' : kind;
    const call = `${request.method} ${noun}`;
    this.calls.push(call);
    const fault = this.#faults.get(call)?.shift();
    if (fault === 'hang') return;
    if (fault === 'refuse') return void request.socket.destroy();
    if (fault instanceof ApiError) throw fault;
    if (fault === 'dieAfter') {
      response.end = () => {
        request.socket.destroy();
        return response;
      };
    }
    if (fault === 'dieMidAnswer') dieMidAnswer(response);
    if (kind === 'worker') return answerJson(response, this.#info());
    if (kind === 'events') return this.#openEvents(response);
    if (id === '') return answerJson(response, { machines: [...this.machines.values()].map((m) => m.info) });
    if (part === '') return this.#serveMachine(request, response, id);
    if (part === 'exec') return this.#serveExec(request, response, this.machine(id), rest, url);
    return this.machine(id).files.serve(request, response, rest, url.searchParams.get('path') ?? '');
  }

  #openEvents(response: ServerResponse): void {
    this.#streams.add(response);
    response.once('close', () => this.#streams.delete(response));
    response.write(`${JSON.stringify({ type: 'hello' })}\n`);
  }

  async #serveMachine(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    if (request.method === 'DELETE') {
      this.machines.delete(id);
      return void response.writeHead(204).end();
    }
    if (request.method === 'PUT') {
      const spec = machineSpecSchema.parse(await readJson(request));
      if (!this.templates.includes(spec.template))
        throw new ApiError('template_not_found', `template ${spec.template} not found`);
      if (this.startMs > 0) await new Promise((resolve) => setTimeout(resolve, this.startMs));
      if (!this.machines.has(id)) this.addMachine(id, spec);
    }
    answerJson(response, this.machine(id).info);
  }

  /** Puts a machine there that nobody asked for. */
  addMachine(id: string, spec: MachineInfo['spec']): void {
    const startedAt = new Date().toISOString();
    const info: MachineInfo = { id, state: 'running', spec, accelerator: 'tcg', startedAt, timings: {} };
    this.machines.set(id, { info, commands: new SimulatedCommands(spec.env), files: new SimulatedFiles() });
  }

  async #serveExec(
    request: IncomingMessage,
    response: ServerResponse,
    { commands }: Machine,
    execId: string,
    url: URL,
  ): Promise<void> {
    if (request.method === 'POST')
      return answerJson(response, await commands.start((await readJson(request)) as GuestExecRequest));
    answerJson(response, await commands.result(execId, Number(url.searchParams.get('waitMs'))));
  }

  #info(): WorkerInfo {
    return {
      workerId: 'worker-simulated',
      version: '0.0.0',
      accelerator: 'tcg',
      accelerationReason: 'simulated',
      networkMode: 'user',
      qemuVersion: 'none',
      templates: this.templates,
      machines: this.machines.size,
      committedMemoryMB: 0,
      freeDiskMB: 1000,
    };
  }
}

function dieMidAnswer(response: ServerResponse): void {
  const write = response.write.bind(response) as (chunk: unknown) => boolean;
  response.end = ((chunk: string | Buffer) => {
    const bytes = Buffer.from(chunk);
    write(bytes.subarray(0, Math.ceil(bytes.length / 2)));
    setImmediate(() => response.destroy());
    return response;
  }) as typeof response.end;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

function answerJson(response: ServerResponse, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** Answers with an error as the worker words it. */
function answerError(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const told = error instanceof ApiError ? error : new ApiError('internal', String(error));
  const body = JSON.stringify(told.toBody());
  response.writeHead(told.status, { 'content-type': 'application/json' }).end(body);
}
