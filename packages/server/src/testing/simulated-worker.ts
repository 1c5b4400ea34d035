import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  ApiError,
  type GuestExecRequest,
  type MachineInfo,
  machineSpecSchema,
  rebootRequestSchema,
  restoreRequestSchema,
  snapshotRequestSchema,
  type WorkerInfo,
} from '@opencomputer/protocol';
import { type SimulatedMachine, SimulatedMachines } from './simulated-machines.ts';
import { useOf } from './simulated-use.ts';

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

/** A worker without machines: the worker's API over a unix socket, with files in memory and a few commands. */
export class SimulatedWorker {
  readonly simulated = new SimulatedMachines();
  /** Every call: `PUT machine`, `POST exec`... */
  readonly calls: string[] = [];
  /** What it says of itself. */
  id: string;
  capacity: WorkerInfo['capacity'] = { machines: 1000, memoryMB: 1_000_000 };
  templates = ['base'];
  /** Lines of JSON that every machine has in its logs. */
  logs: string[] = [];
  readonly logQueries: string[] = [];
  /** Decides when each call that concerns a machine does its work. */
  turn: (call: string) => Promise<unknown> = async () => undefined;
  readonly socketPath: string;
  readonly #faults = new Map<string, Fault[]>();
  readonly #held = new Map<string, Promise<void>>();
  readonly #streams = new Set<ServerResponse>();
  readonly #attached = new Set<Duplex>();
  readonly #logStreams = new Set<ServerResponse>();
  #server: Server | undefined;

  constructor(socketPath: string, id = 'worker-simulated') {
    this.socketPath = socketPath;
    this.id = id;
  }

  get machines(): Map<string, SimulatedMachine> {
    return this.simulated.all;
  }

  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => answerError(response, error));
    });
    server.on('upgrade', (request, socket) => {
      socket.on('error', () => socket.destroy());
      this.#upgrade(request, socket);
    });
    this.#server = server;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen(this.socketPath, resolve);
    await promise;
  }

  /** Stops as a killed process does: every connection breaks. Machines stay. */
  async kill(): Promise<void> {
    if (this.#server === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeAllConnections();
    this.cutAttached();
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

  /** Calls like `PUT machine` are taken, and do nothing until the function that this returns is called. */
  hold(call: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.set(call, promise);
    return () => {
      this.#held.delete(call);
      resolve();
    };
  }

  machine(id: string): SimulatedMachine {
    return this.simulated.get(id);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://worker');
    const [, , kind = '', id = '', part = '', rest = '', verb = ''] = url.pathname.split('/');
    const noun = nounOf(kind, id, part);
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
    if (id !== '') await this.turn(call);
    await this.#held.get(call);
    if (kind === 'snapshots') return this.#serveSnapshots(request, response, id);
    if (id === '') return answerJson(response, { machines: [...this.machines.values()].map((m) => m.info) });
    if (part === '') return this.#serveMachine(request, response, id);
    if (['hibernate', 'wake', 'reboot', 'restore'].includes(part))
      return answerJson(response, await this.#change(request, id, part));
    const machine = this.simulated.running(id);
    if (part === 'use') return answerJson(response, useOf(machine));
    if (part === 'exec') return this.#serveExec(request, response, machine, { execId: rest, verb, url });
    if (part === 'logs') return this.#serveLogs(response, url);
    return machine.files.serve(request, response, rest, url.searchParams.get('path') ?? '');
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
      if (!this.machines.has(id)) this.addMachine(id, spec);
    }
    answerJson(response, this.machine(id).info);
  }

  async #change(request: IncomingMessage, id: string, part: string): Promise<unknown> {
    const body = request.headers['content-type'] === undefined ? {} : await readJson(request);
    if (part === 'hibernate') {
      this.endLogs();
      return this.simulated.hibernate(id);
    }
    if (part === 'wake') return this.simulated.wake(id);
    if (part === 'reboot') return this.simulated.reboot(id, rebootRequestSchema.parse(body).hard);
    return this.simulated.restore(id, restoreRequestSchema.parse(body).snapshot);
  }

  async #serveSnapshots(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    if (id === '') {
      const snapshots = [...this.simulated.snapshots.values()].map(({ info }) => info);
      return answerJson(response, { snapshots });
    }
    if (request.method === 'DELETE') {
      this.simulated.snapshots.delete(id);
      return void response.writeHead(204).end();
    }
    const wanted = snapshotRequestSchema.parse(await readJson(request));
    answerJson(response, this.simulated.putSnapshot(id, wanted));
  }

  /** Puts a machine there that nobody asked for. */
  addMachine(id: string, spec: MachineInfo['spec']): void {
    this.simulated.add(id, spec);
  }

  async #serveExec(
    request: IncomingMessage,
    response: ServerResponse,
    { info, commands, sessions }: SimulatedMachine,
    { execId, verb, url }: { execId: string; verb: string; url: URL },
  ): Promise<void> {
    if (request.method === 'POST') {
      const body = await readJson(request);
      if (verb === 'signal')
        return answerJson(response, sessions.signal(execId, (body as { signal: number }).signal));
      if (verb === 'resize')
        return answerJson(response, sessions.resize(execId, body as { cols: number; rows: number }));
      const command = body as GuestExecRequest;
      const sentAt = Number(url.searchParams.get('sentAt') ?? 0);
      if (sentAt > 0) {
        const session = sessions.all.get(command.id ?? '');
        const found = session === undefined ? await commands.find(command) : session.result();
        if (found !== undefined) return answerJson(response, found);
        const since = Math.max(commands.agentStartedAt, Date.parse(info.startedAt));
        if (since >= sentAt) throw new ApiError('exec_not_found', `no command ${command.id}`);
      }
      return answerJson(
        response,
        command.stdin === true || command.tty !== undefined
          ? sessions.start(command)
          : await commands.start(command),
      );
    }
    if (execId === '')
      return answerJson(response, { sessions: [...sessions.all.values()].map((one) => one.describe()) });
    if (sessions.all.has(execId)) return answerJson(response, sessions.get(execId).result());
    answerJson(response, await commands.result(execId, Number(url.searchParams.get('waitMs'))));
  }

  /** Sends the lines of `logs`, and further ones as they are pushed. */
  #serveLogs(response: ServerResponse, url: URL): void {
    this.logQueries.push(url.search);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write(this.logs.join(''));
    if (url.searchParams.get('tail') !== 'true') return void response.end();
    this.#logStreams.add(response);
    response.once('close', () => this.#logStreams.delete(response));
  }

  /** How many follow the logs. */
  get logReaders(): number {
    return this.#logStreams.size;
  }

  /** Ends the logs that are followed, as a change of the machine's life does. */
  endLogs(): void {
    for (const stream of this.#logStreams) stream.end();
  }

  log(line: string): void {
    for (const stream of this.#logStreams) stream.write(line);
  }

  #upgrade(request: IncomingMessage, socket: Duplex): void {
    const url = new URL(request.url ?? '/', 'http://worker');
    const [, , , id = '', , execId = ''] = url.pathname.split('/');
    this.calls.push('POST attach');
    try {
      const fault = this.#faults.get('POST attach')?.shift();
      if (fault === 'refuse') return void socket.destroy();
      if (fault instanceof ApiError) throw fault;
      const session = this.simulated.running(id).sessions.get(execId);
      const join = session.attach(url.searchParams.get('from') ?? '0', url.searchParams.get('client') ?? '');
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: opencomputer-exec\r\n\r\n',
      );
      this.#attached.add(socket);
      socket.once('close', () => this.#attached.delete(socket));
      join(socket);
    } catch (error) {
      const told = error instanceof ApiError ? error : new ApiError('internal', String(error));
      const body = JSON.stringify(told.toBody());
      socket.end(
        `HTTP/1.1 ${told.status} Refused\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    }
  }

  /** Breaks off every connection to a session. */
  cutAttached(): void {
    for (const socket of this.#attached) socket.destroy();
  }

  #info(): WorkerInfo {
    return {
      workerId: this.id,
      version: '0.0.0',
      accelerator: 'tcg',
      accelerationReason: 'simulated',
      networkMode: 'user',
      qemuVersion: 'none',
      templates: this.templates,
      machines: this.machines.size,
      committedMemoryMB: 0,
      freeDiskMB: 1000,
      capacity: this.capacity,
    };
  }
}

function nounOf(kind: string, id: string, part: string): string {
  if (kind === 'machines' && id !== '') return part || 'machine';
  return kind === 'snapshots' && id !== '' ? 'snapshot' : kind;
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
