import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';

/** What a client may tell while a call is under way and later, by the names of the callbacks. */
export type Callbacks = Record<string, ((value: never) => void) | undefined>;

/** Something that stays in the Python process. */
export interface Held {
  readonly $object: number;
}

export interface Call {
  /** Without one it is a call of the class of sandboxes. */
  object?: number;
  call: string;
  arguments?: Record<string, unknown>;
  callbacks?: Callbacks;
}

interface Message {
  /** Of the call that this answers. */
  id?: number;
  /** Of the call whose callback this is. */
  listener?: number;
  name?: string;
  value?: unknown;
  error?: { name: string; message: string };
  properties?: Record<string, Record<string, unknown>>;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

interface Command {
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
}

/** A Python process with one client in it. It begins with the first call. */
export class PythonProcess {
  readonly #command: () => Promise<Command>;
  readonly #pending = new Map<number, Pending>();
  readonly #callbacks = new Map<number, Callbacks>();
  readonly #properties = new Map<number, Record<string, unknown>>();
  #child: Promise<ChildProcessWithoutNullStreams> | undefined;
  #closed: Promise<void> = Promise.resolve();
  /** For content that is too much for a line. */
  #directory = '';
  #next = 1;
  /** Messages count in the order in which they came, also where content has to be read. */
  #order: Promise<void> = Promise.resolve();

  /** @param command runs the driver; a directory for content is appended to its arguments */
  constructor(command: () => Promise<Command>) {
    this.#command = command;
  }

  /**
   * Calls are made in the order in which this is called.
   * @throws Error with what the Python error has: name, message, status, code, hint
   */
  async call({ object, call, arguments: given = {}, callbacks = {} }: Call): Promise<unknown> {
    this.#child ??= this.#start();
    const child = await this.#child;
    const id = this.#next++;
    const args: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(given))
      if (value instanceof Uint8Array) args[name] = { $bytes: Buffer.from(value).toString('base64') };
      else if (value !== undefined) args[name] = value;
    const names = Object.keys(callbacks).filter((name) => callbacks[name] !== undefined);
    if (names.length > 0) this.#callbacks.set(id, callbacks);
    const listener = names.length > 0 ? { id, names } : undefined;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      child.stdin.write(`${JSON.stringify({ id, object, call, arguments: args, listener })}\n`);
    });
  }

  /** An argument that the client takes as a stream. */
  async toStream(content: ReadableStream<Uint8Array>): Promise<unknown> {
    this.#child ??= this.#start();
    await this.#child;
    const path = join(this.#directory, `stream-${this.#next++}`);
    await writeFile(path, content);
    return { $stream: path };
  }

  /** What is known of an object since it was last spoken of. */
  property(object: number, name: string): unknown {
    return this.#properties.get(object)?.[name];
  }

  async stop(): Promise<void> {
    const child = await this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    child.stdin.end();
    await this.#closed;
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #start(): Promise<ChildProcessWithoutNullStreams> {
    this.#directory = await mkdtemp(join(tmpdir(), 'opencomputer-python-'));
    const { command, args, env } = await this.#command();
    const child = spawn(command, [...args, this.#directory], { env });
    let complaints = '';
    const fail = (error: Error): void => {
      for (const pending of this.#pending.values()) pending.reject(error);
      this.#pending.clear();
    };
    child.stderr.on('data', (data: Buffer) => (complaints = (complaints + String(data)).slice(-8000)));
    child.once('error', fail);
    child.stdin.on('error', fail);
    this.#closed = new Promise((resolve) => {
      child.once('close', (code) => {
        fail(new Error(`the Python client ended with ${code}: ${complaints}`));
        resolve();
      });
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#order = this.#order.then(() => this.#hear(JSON.parse(line) as Message));
      this.#order.catch(fail);
    });
    return child;
  }

  async #hear({ id, listener, name, value, error, properties }: Message): Promise<void> {
    for (const [object, known] of Object.entries(properties ?? {}))
      this.#properties.set(Number(object), known);
    const decoded = await decode(value);
    if (listener !== undefined) {
      this.#callbacks.get(listener)?.[name ?? '']?.(decoded as never);
      return;
    }
    const pending = this.#pending.get(id ?? 0);
    this.#pending.delete(id ?? 0);
    if (error === undefined) pending?.resolve(decoded);
    else pending?.reject(Object.assign(new Error(error.message), error));
  }
}

/** Bytes come in the line, or as a file. */
async function decode(value: unknown): Promise<unknown> {
  if (typeof value !== 'object' || value === null) return value;
  if ('$bytes' in value) return Buffer.from(String(value.$bytes), 'base64');
  if (!('$file' in value)) return value;
  const bytes = await readFile(String(value.$file));
  await rm(String(value.$file));
  return bytes;
}
