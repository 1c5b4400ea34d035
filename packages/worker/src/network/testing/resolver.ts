import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { frame, readFrames } from '../dns/framing.ts';

/** A query for the IPv4 address of a name. */
export function queryFor(name: string, id = 0x1234): Buffer {
  const header = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const labels = name
    .split('.')
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

/** The answer to a query made by `queryFor` or a system's resolver: one address. */
export function answerTo(query: Buffer, address: string): Buffer {
  const end = query.indexOf(0, 12) + 5;
  const head = Buffer.from(query.subarray(0, end));
  head.set([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], 2);
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)];
  return Buffer.concat([head, Buffer.from(record)]);
}

export interface FakeResolver extends AsyncDisposable {
  port: number;
  /** Queries seen over UDP. */
  seen: Buffer[];
}

/**
 * A resolver that answers every name with one address. Names that begin with "big" are cut short over UDP, so
 * that clients ask again over TCP; `reply` may answer UDP otherwise.
 */
export async function fakeResolver(
  listen: { address: string; port: number },
  answer: string,
  reply?: (query: Buffer) => Buffer[],
): Promise<FakeResolver> {
  const seen: Buffer[] = [];
  const tcp = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    const serve = async (): Promise<void> => {
      for await (const query of readFrames(socket, 0xffff)) socket.write(frame(answerTo(query, answer)));
    };
    serve().catch(() => socket.destroy());
  });
  tcp.listen(listen.port, listen.address);
  await once(tcp, 'listening');
  const { port } = tcp.address() as { port: number };
  const udp = createSocket('udp4');
  udp.on('message', (query, from) => {
    seen.push(query);
    const full = answerTo(query, answer);
    if (query.subarray(13, 16).toString() === 'big') full.set([0x83], 2);
    for (const message of reply?.(query) ?? [full]) udp.send(message, from.port, from.address);
  });
  udp.bind(port, listen.address);
  await once(udp, 'listening');
  return {
    port,
    seen,
    [Symbol.asyncDispose]: async () => {
      udp.close();
      tcp.close();
      await once(tcp, 'close');
    },
  };
}
