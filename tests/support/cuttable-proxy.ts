import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** A proxy that can break the connections that pass through it. */
export interface CuttableProxy extends AsyncDisposable {
  readonly url: string;
  readonly cuts: number;
  /** Breaks everything off as soon as a text has come from the server. Resolves then. */
  cutOn(text: string): Promise<void>;
}

/** Starts a proxy on a free port before a server. */
export async function cuttableProxy(target: string): Promise<CuttableProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let cuts = 0;
  let watch: { text: string; cut: () => void } | undefined;
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      // Cutting is an error to those who are cut.
      socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
    }
    client.pipe(upstream);
    upstream.pipe(client);
    upstream.on('data', (data: Buffer) => {
      if (watch === undefined || !data.includes(watch.text)) return;
      const { cut } = watch;
      watch = undefined;
      cuts += 1;
      for (const socket of sockets) socket.destroy();
      cut();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get cuts() {
      return cuts;
    },
    cutOn: (text) =>
      new Promise((resolve) => {
        watch = { text, cut: resolve };
      }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
