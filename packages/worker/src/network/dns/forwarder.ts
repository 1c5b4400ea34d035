import { createSocket } from 'node:dgram';
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { NetworkLog } from '../types.ts';
import { frame, readFrames } from './framing.ts';
import { isQuery, queryLimit, serverFailure } from './message.ts';
import { Quota } from './quota.ts';
import type { Resolver } from './resolvers.ts';
import { askTcp, askUdp } from './upstream.ts';
import type { Ask } from './upstream.ts';

export interface ForwarderOptions {
  /** Address to listen on. */
  address: string;
  /** Port to listen on, UDP and TCP; 0 takes any that is free in both. */
  port: number;
  /** Resolvers to ask, best first; read for every query. */
  resolvers: () => readonly Resolver[];
  log: NetworkLog;
  /** Milliseconds for all attempts at one query. Default 4500, under the 5 s that clients wait. */
  budgetMs?: number;
  /** Milliseconds a TCP connection may be idle. Default 10 000. */
  idleMs?: number;
}

const queryQuota = { total: 512, perSource: 64 };
const connectionQuota = { total: 256, perSource: 16 };

/** Longest life of a TCP connection, however busy it is. */
const connectionLifeMs = 120_000;

/** Forwards the guests' DNS queries to the host's resolvers. It has no cache and does not parse answers. */
export class DnsForwarder implements AsyncDisposable {
  readonly #options: Required<ForwarderOptions>;
  readonly #queries = new Quota(queryQuota.total, queryQuota.perSource);
  readonly #connections = new Quota(connectionQuota.total, connectionQuota.perSource);
  readonly #sockets = new Set<Socket>();
  readonly #tcp: Server;
  readonly #udp: UdpSocket;
  /** Moves on to the next resolver when one is dead, so that only one query has to wait for it. */
  #preferred = 0;
  #closed = false;

  private constructor(options: ForwarderOptions, tcp: Server, udp: UdpSocket) {
    this.#options = { budgetMs: 4500, idleMs: 10_000, ...options };
    this.#tcp = tcp;
    this.#udp = udp;
    tcp.on('connection', (socket: Socket) => void this.#serve(socket));
    tcp.on('error', (error) => options.log.error({ err: error }, 'DNS forwarder: TCP failed'));
    udp.on('message', (message, from) => void this.#answer(message, from));
    udp.on('error', (error) => options.log.error({ err: error }, 'DNS forwarder: UDP failed'));
  }

  /** @throws the system's error, EADDRINUSE for one, when it cannot listen. */
  static async listen(options: ForwarderOptions): Promise<DnsForwarder> {
    const tcp = createServer({ noDelay: true });
    tcp.listen(options.port, options.address);
    await once(tcp, 'listening');
    const bound = tcp.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : options.port;
    const udp = createSocket({ type: 'udp4', recvBufferSize: 1024 * 1024 });
    try {
      udp.bind(port, options.address);
      await once(udp, 'listening');
    } catch (error) {
      udp.close();
      tcp.close();
      throw error;
    }
    return new DnsForwarder(options, tcp, udp);
  }

  /** Port it listens on. */
  get port(): number {
    return this.#udp.address().port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#udp.close();
    const closed = once(this.#tcp, 'close');
    this.#tcp.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #answer(query: Buffer, from: RemoteInfo): Promise<void> {
    if (!isQuery(query)) return;
    const response = await this.#resolve(query, from.address, askUdp);
    if (this.#closed) return;
    this.#udp.send(response, from.port, from.address, (error) => {
      if (error) this.#options.log.debug({ err: error, to: from.address }, 'DNS answer not sent');
    });
  }

  async #serve(socket: Socket): Promise<void> {
    const source = socket.remoteAddress;
    const release = source === undefined ? undefined : this.#connections.take(source);
    if (source === undefined || release === undefined) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.setTimeout(this.#options.idleMs, () => socket.destroy());
    const life = setTimeout(() => socket.destroy(), connectionLifeMs);
    try {
      await pipeline(socket, (chunks: AsyncIterable<Buffer>) => this.#respond(chunks, source), socket);
    } catch (error) {
      this.#options.log.debug({ err: error, source }, 'DNS connection ended');
    } finally {
      clearTimeout(life);
      this.#sockets.delete(socket);
      socket.destroy();
      release();
    }
  }

  /** One query at a time: further ones wait in the kernel's buffer, not in ours. */
  async *#respond(chunks: AsyncIterable<Buffer>, source: string): AsyncGenerator<Buffer> {
    for await (const query of readFrames(chunks, queryLimit)) {
      if (!isQuery(query)) return;
      yield frame(await this.#resolve(query, source, askTcp));
    }
  }

  /** Never fails: a query that cannot be answered gets "server failure". */
  async #resolve(query: Buffer, source: string, ask: Ask): Promise<Buffer> {
    const release = this.#queries.take(source);
    if (release === undefined) return serverFailure(query);
    try {
      const resolvers = this.#options.resolvers();
      const share = Math.ceil(this.#options.budgetMs / resolvers.length);
      const first = this.#preferred % resolvers.length;
      for (const step of resolvers.keys()) {
        const choice = (first + step) % resolvers.length;
        const resolver = resolvers[choice]!;
        try {
          return await ask(query, resolver, share);
        } catch (error) {
          this.#options.log.debug({ err: error, resolver: resolver.address }, 'resolver failed');
          // Only the first query that finds it dead moves on: otherwise many at once would come back to the same
          // resolver.
          if (this.#preferred % resolvers.length === choice)
            this.#preferred = (choice + 1) % resolvers.length;
        }
      }
      return serverFailure(query);
    } finally {
      release();
    }
  }
}
