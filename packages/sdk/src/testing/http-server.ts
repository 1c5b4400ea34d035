import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

export interface SeenRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

export type Handler = (request: SeenRequest, response: ServerResponse) => unknown;

/** A real HTTP server in this process that answers by a handler and remembers what it was asked. */
export class TestServer implements AsyncDisposable {
  readonly seen: SeenRequest[] = [];
  readonly #server: Server;
  #connections = 0;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', () => (this.#connections += 1));
  }

  /** Collects each body, then calls `handle`. */
  static async start(handle: Handler, port = 0): Promise<TestServer> {
    return TestServer.startRaw(async (message, response, server) => {
      const chunks: Buffer[] = [];
      for await (const chunk of message) chunks.push(chunk as Buffer);
      const request = server.#remember(message, Buffer.concat(chunks));
      await handle(request, response);
    }, port);
  }

  /** Leaves the body to `handle`. */
  static async startRaw(
    handle: (message: IncomingMessage, response: ServerResponse, server: TestServer) => unknown,
    port = 0,
  ): Promise<TestServer> {
    const server = createServer((message, response) => {
      Promise.resolve(handle(message, response, started)).catch(() => response.destroy());
    });
    const started = new TestServer(server);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return started;
  }

  /** Gives connections that want another protocol to `handle`; without one they are refused as plain requests. */
  onUpgrade(handle: (message: IncomingMessage, socket: Duplex, head: Buffer) => void): void {
    this.#server.on('upgrade', handle);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get connections(): number {
    return this.#connections;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #remember(message: IncomingMessage, body: Buffer): SeenRequest {
    const url = new URL(message.url ?? '/', 'http://localhost');
    const request = {
      method: message.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: message.headers,
      body,
    };
    this.seen.push(request);
    return request;
  }
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

/** A sandbox as the server answers it. */
export const wireSandbox = {
  sandboxID: 'sb-0a1b2c3d',
  status: 'running',
  templateID: 'base',
  template: 'base',
  cpuCount: 1,
  memoryMB: 1024,
  diskMB: 20480,
  metadata: { project: 'x' },
  timeout: 300,
  startedAt: '2026-01-02T03:04:05Z',
  endAt: '2026-01-02T03:09:05Z',
  region: 'local',
  workerID: 'local',
  sandboxDomain: 'preview.test',
  emulated: false,
};

/** A port that nothing listens on at the moment. */
export async function freePort(): Promise<number> {
  await using server = await TestServer.start(() => undefined);
  return server.port;
}
