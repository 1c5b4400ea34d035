import { connect, createServer } from 'node:net';
import { apiUrl } from '../../raw-api.ts';
import type { AddressInfo, Server, Socket } from 'node:net';

/** A way to the server that can be cut. */
export class CuttingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #open = true;
  /** Connections that have been made through it. */
  connections = 0;
  /** Connections that were refused. */
  refused = 0;
  /** Bytes that clients have sent since the last cut. */
  bytes = 0;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (client) => this.#join(client));
  }

  static async start(): Promise<CuttingProxy> {
    const server = createServer();
    const proxy = new CuttingProxy(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Breaks every connection in the middle. `away`: refuses further ones until `restore`. */
  cut({ away = false } = {}): void {
    this.#open = !away;
    this.bytes = 0;
    for (const socket of this.#sockets) socket.destroy();
  }

  restore(): void {
    this.#open = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut({ away: true });
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket): void {
    if (!this.#open) {
      this.refused += 1;
      return void client.resetAndDestroy();
    }
    client.on('data', (data: Buffer) => (this.bytes += data.length));
    this.connections += 1;
    const { hostname, port } = new URL(apiUrl);
    const server = connect(Number(port), hostname);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      // Whatever ends one side ends the other.
      one.on('error', () => one.destroy());
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
