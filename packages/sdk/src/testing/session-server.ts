import { WebSocketServer } from 'ws';
import { HttpClient } from '../http.ts';
import { SessionApi } from '../sessions.ts';
import { sendJson, TestServer } from './http-server.ts';
import { TestSession } from './test-session.ts';
import type { IncomingHttpHeaders } from 'node:http';
import type { WebSocket } from 'ws';
import type { Connection } from '../config.ts';
import type { Handler } from './http-server.ts';

/** One attempt to attach. */
export interface SeenAttach {
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
}

/** How a test server answers. */
export interface SessionServerOptions {
  port?: number;
  session?: TestSession;
  /** Instead of the answer to the upgrade. */
  refuse?: (attempt: number) => { status: number; body: object } | undefined;
  /** Called instead of attaching to the session; true means that it has answered. */
  serve?: (socket: WebSocket, attempt: number, query: URLSearchParams) => boolean | void;
  handle?: Handler;
}

export const sandboxPath = '/sandboxes/sb-1';

/** A real server with one session behind every path. */
export class SessionServer implements AsyncDisposable {
  readonly session: TestSession;
  readonly attaches: SeenAttach[] = [];
  readonly #http: TestServer;
  readonly #sockets: WebSocketServer;

  private constructor(http: TestServer, options: SessionServerOptions) {
    this.#http = http;
    this.session = options.session ?? new TestSession();
    this.#sockets = new WebSocketServer({ noServer: true });
    http.onUpgrade((message, socket, head) => {
      const url = new URL(message.url ?? '/', 'http://localhost');
      this.attaches.push({ path: url.pathname, query: url.searchParams, headers: message.headers });
      const attempt = this.attaches.length;
      const refusal = options.refuse?.(attempt);
      if (refusal !== undefined) {
        const body = JSON.stringify(refusal.body);
        const head = `HTTP/1.1 ${refusal.status} No\r\nContent-Type: application/json\r\nConnection: close\r\n`;
        socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
        return;
      }
      this.#sockets.handleUpgrade(message, socket, head, (webSocket) => {
        if (options.serve?.(webSocket, attempt, url.searchParams) === true) return;
        this.session.attach(webSocket, url.searchParams);
      });
    });
  }

  static async start(options: SessionServerOptions = {}): Promise<SessionServer> {
    const answer: Handler = (request, response) => {
      if (request.method === 'POST' && /\/(exec|pty|agent)$/.test(request.path))
        return sendJson(response, 201, { sessionID: 'abcd1234', sandboxID: 'sb-1', running: true });
      if (options.handle !== undefined) return options.handle(request, response);
      return sendJson(response, 200, { running: true, stdout: '', stderr: '' });
    };
    return new SessionServer(await TestServer.start(answer, options.port), options);
  }

  get url(): string {
    return this.#http.url;
  }

  get port(): number {
    return this.#http.port;
  }

  get seen(): TestServer['seen'] {
    return this.#http.seen;
  }

  /** The sessions of a sandbox there. */
  api(connection: Partial<Connection> = {}, token?: string): SessionApi {
    const settings = { apiUrl: `${this.url}/api`, apiKey: 'osb_key', requestTimeoutMs: undefined };
    return new SessionApi(new HttpClient({ ...settings, ...connection }), sandboxPath, () => token);
  }

  /** Ends every connection, as a server that is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate();
    await this.#http[Symbol.asyncDispose]();
  }
}
