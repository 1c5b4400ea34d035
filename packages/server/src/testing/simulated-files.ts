import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { ApiError, encodeFileList, fileListType, type GuestFileEntry } from '@opencomputer/protocol';

/** Files of a simulated machine, in memory. `/zero/N` is a file of N zero bytes; writes below `/null/` are dropped. */
export class SimulatedFiles {
  readonly content: Map<string, Buffer>;
  /** Bytes of uploads that have come, and bytes of `/zero/N` that were read. */
  received = 0;
  sent = 0;
  /** How many uploads were cut off. */
  cutOff = 0;
  /** What every list is instead of the true one. */
  listText: string | undefined;
  readonly directories = new Set(['/', '/home', '/home/sandbox', '/tmp']);

  constructor(content: ReadonlyMap<string, Buffer> = new Map()) {
    this.content = new Map(content);
  }

  async serve(request: IncomingMessage, response: ServerResponse, part: string, path: string): Promise<void> {
    if (part === 'list') return this.#sendList(response, path);
    if (part === 'stat') return answerJson(response, this.#stat(path));
    if (part === 'mkdir') this.#makeDirectory(path);
    else if (request.method === 'GET') return this.#read(response, path);
    else if (request.method === 'PUT') await this.#write(request, path);
    else this.#remove(path);
    response.writeHead(204).end();
  }

  async #sendList(response: ServerResponse, path: string): Promise<void> {
    const list = encodeFileList({ truncated: false, entries: Readable.from([this.#list(path)]) });
    let text = '';
    for await (const piece of list) text += piece;
    response.writeHead(200, { 'content-type': fileListType }).end(this.listText ?? text);
  }

  #read(response: ServerResponse, path: string): void {
    const zeros = /^\/zero\/(\d+)$/.exec(path)?.[1];
    if (zeros !== undefined) {
      response.writeHead(200, { 'content-length': zeros });
      Readable.from(this.#zeroBytes(Number(zeros))).pipe(response);
      return;
    }
    if (this.directories.has(path)) throw new ApiError('is_directory', `${path} is a directory`);
    const bytes = this.content.get(path);
    if (bytes === undefined) throw new ApiError('file_not_found', `${path} does not exist`);
    response.writeHead(200, { 'content-length': bytes.length });
    response.end(bytes);
  }

  async #write(request: IncomingMessage, path: string): Promise<void> {
    if (this.directories.has(path)) throw new ApiError('is_directory', `${path} is a directory`);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        this.received += chunk.length;
        if (!path.startsWith('/null/')) chunks.push(chunk);
      }
    } catch (error) {
      this.cutOff += 1;
      throw error;
    }
    this.content.set(path, Buffer.concat(chunks));
  }

  *#zeroBytes(count: number): Generator<Buffer> {
    const chunk = Buffer.alloc(256 * 1024);
    for (let left = count; left > 0; left -= chunk.length) {
      const piece = chunk.subarray(0, Math.min(left, chunk.length));
      this.sent += piece.length;
      yield piece;
    }
  }

  #remove(path: string): void {
    for (const known of [...this.content.keys()])
      if (known === path || known.startsWith(`${path}/`)) this.content.delete(known);
    this.directories.delete(path);
  }

  #makeDirectory(path: string): void {
    if (this.content.has(path)) throw new ApiError('not_directory', `${path} is a file`);
    this.directories.add(path);
  }

  #stat(path: string): GuestFileEntry {
    const parent = path.slice(0, path.lastIndexOf('/')) || '/';
    const entry = this.#list(parent).find((one) => one.path === path);
    if (entry === undefined) throw new ApiError('file_not_found', `${path} does not exist`);
    return entry;
  }

  #list(path: string): GuestFileEntry[] {
    if (this.content.has(path)) throw new ApiError('not_directory', `${path} is a file`);
    if (!this.directories.has(path)) throw new ApiError('file_not_found', `${path} does not exist`);
    const prefix = path === '/' ? '/' : `${path}/`;
    const inside = (known: string): boolean =>
      known !== path && known.startsWith(prefix) && !known.slice(prefix.length).includes('/');
    const about = { uid: 1000, gid: 1000, modifiedAt: '2026-01-01T00:00:00Z' };
    const files = [...this.content].filter(([known]) => inside(known));
    return [
      ...files.map(([known, bytes]): GuestFileEntry => ({
        ...about,
        name: known.slice(prefix.length),
        path: known,
        type: 'file',
        isDir: false,
        size: bytes.length,
        mode: '0644',
      })),
      ...[...this.directories].filter(inside).map((known): GuestFileEntry => ({
        ...about,
        name: known.slice(prefix.length),
        path: known,
        type: 'directory',
        isDir: true,
        size: 0,
        mode: '0755',
      })),
    ];
  }
}

function answerJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
