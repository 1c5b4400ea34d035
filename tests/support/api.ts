import { expect } from 'vitest';

/** An answer of the API, read whole. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; an empty object where it is none. */
  readonly body: Record<string, unknown>;
}

export interface Call {
  json?: unknown;
  body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** A finished command. */
export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
  truncated?: boolean;
}

export interface CommandOptions {
  envs?: Record<string, string>;
  cwd?: string;
  timeout?: number;
}

/** What `GET /api/sandboxes/:id` says, as far as tests look at it. */
export interface SandboxInfo {
  sandboxID: string;
  status: string;
  statusReason?: string;
  startedFrom?: string;
  cpuCount: number;
  memoryMB: number;
  timeout: number;
  endAt: string;
  metadata: Record<string, string>;
}

const callMs = 300_000;

/** Speaks to the API by plain HTTP, without any client library between. */
export class Api {
  readonly url: string;
  readonly key: string;

  constructor(url: string, key: string) {
    this.url = url;
    this.key = key;
  }

  /** One request, with the key unless `headers` say otherwise. */
  async call(method: string, path: string, call: Call = {}): Promise<Answer> {
    const headers: Record<string, string> = { 'x-api-key': this.key };
    if (call.json !== undefined) headers['content-type'] = 'application/json';
    const body = call.json === undefined ? call.body : JSON.stringify(call.json);
    const request: RequestInit = {
      method,
      headers: { ...headers, ...call.headers },
      signal: call.signal ?? AbortSignal.timeout(callMs),
    };
    if (body !== undefined) Object.assign(request, { body, duplex: 'half' });
    const response = await fetch(this.url + path, request);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: parse(text) };
  }

  /** Creates a sandbox. @throws Error with the answer when it is refused */
  async create(options: Record<string, unknown> = {}): Promise<TestSandbox> {
    const answer = await this.call('POST', '/api/sandboxes', { json: { timeout: 0, ...options } });
    if (answer.status !== 201) throw new Error(`create: ${answer.status} ${answer.text}`);
    return this.sandbox(answer.body['sandboxID'] as string);
  }

  sandbox(id: string): TestSandbox {
    return new TestSandbox(this, id);
  }

  async list(query = ''): Promise<SandboxInfo[]> {
    const answer = await this.call('GET', `/api/sandboxes?limit=1000${query}`);
    if (answer.status !== 200) throw new Error(`list: ${answer.status} ${answer.text}`);
    return JSON.parse(answer.text) as SandboxInfo[];
  }
}

/** A sandbox under test. */
export class TestSandbox {
  readonly api: Api;
  readonly id: string;
  readonly path: string;

  constructor(api: Api, id: string) {
    this.api = api;
    this.id = id;
    this.path = `/api/sandboxes/${id}`;
  }

  call(method: string, path: string, call: Call = {}): Promise<Answer> {
    return this.api.call(method, this.path + path, call);
  }

  /** Runs an executable and returns the raw answer. */
  exec(cmd: string, args: string[] = [], options: CommandOptions = {}): Promise<Answer> {
    return this.call('POST', '/exec/run', { json: { cmd, args, ...options } });
  }

  /** Runs a line of bash. @throws Error when it could not be run; a failed command is not an error */
  async run(line: string, options: CommandOptions = {}): Promise<CommandResult> {
    const answer = await this.exec('bash', ['-c', line], options);
    if (answer.status !== 200 || answer.body['error'] !== undefined)
      throw new Error(`run ${line}: ${answer.status} ${answer.text.trim()}`);
    return answer.body as unknown as CommandResult;
  }

  /** Output of a line of bash that must succeed, without the last newline. */
  async output(line: string, options: CommandOptions = {}): Promise<string> {
    const result = await this.run(line, options);
    if (result.exitCode !== 0)
      throw new Error(`${line}: exit code ${result.exitCode}\n${result.stdout}\n${result.stderr}`);
    return result.stdout.trimEnd();
  }

  async write(path: string, body: string | Uint8Array<ArrayBuffer>): Promise<void> {
    const answer = await this.call('PUT', `/files?path=${encodeURIComponent(path)}`, { body });
    if (answer.status !== 204) throw new Error(`write ${path}: ${answer.status} ${answer.text}`);
  }

  async read(path: string): Promise<Buffer> {
    const response = await fetch(`${this.api.url}${this.path}/files?path=${encodeURIComponent(path)}`, {
      headers: { 'x-api-key': this.api.key },
      signal: AbortSignal.timeout(callMs),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    if (response.status !== 200) throw new Error(`read ${path}: ${response.status} ${bytes.toString()}`);
    return bytes;
  }

  async info(): Promise<SandboxInfo> {
    const answer = await this.call('GET', '');
    if (answer.status !== 200) throw new Error(`get ${this.id}: ${answer.status} ${answer.text}`);
    return answer.body as unknown as SandboxInfo;
  }

  async delete(): Promise<void> {
    const answer = await this.call('DELETE', '');
    if (answer.status !== 204) throw new Error(`delete ${this.id}: ${answer.status} ${answer.text}`);
  }
}

/** Checks that an answer is a refusal as the contract describes it, with a hint and the id of the request. */
export function expectError(answer: Answer, status: number, code: string, message?: RegExp): void {
  expect({ status: answer.status, code: answer.body['code'], text: answer.text }).toMatchObject({
    status,
    code,
  });
  expect(answer.body['error']).toEqual(expect.stringMatching(message ?? /\S/));
  expect(answer.body['hint']).toEqual(expect.stringMatching(/\S/));
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
