import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { frame, readFrames } from './framing.ts';
import { answers, withId } from './message.ts';
import type { Resolver } from './resolvers.ts';

/** Sends one query to one resolver. */
export type Ask = (query: Buffer, resolver: Resolver, timeoutMs: number) => Promise<Buffer>;

const noAnswer = (resolver: Resolver, timeoutMs: number): Error =>
  new Error(`resolver ${resolver.address} gave no answer in ${timeoutMs} ms`);

/** Each query has its own socket, thus its own source port, and its own id, so that answers are hard to forge. */
export const askUdp: Ask = (query, resolver, timeoutMs) =>
  new Promise((resolve, reject) => {
    const sent = withId(query, randomInt(0x10000));
    const socket = createSocket(isIPv6(resolver.address) ? 'udp6' : 'udp4');
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.close();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(noAnswer(resolver, timeoutMs))), timeoutMs);
    socket.once('error', (error) => finish(() => reject(error)));
    socket.on('message', (message) => {
      // A connected socket receives only from the resolver; messages that do not match the query are ignored.
      if (answers(sent, message)) finish(() => resolve(withId(message, query.readUInt16BE(0))));
    });
    socket.connect(resolver.port, resolver.address, () => {
      socket.send(sent, (error) => {
        if (error) finish(() => reject(error));
      });
    });
  });

export const askTcp: Ask = async (query, resolver, timeoutMs) => {
  const sent = withId(query, randomInt(0x10000));
  const socket = connect({ host: resolver.address, port: resolver.port });
  const timer = setTimeout(() => socket.destroy(noAnswer(resolver, timeoutMs)), timeoutMs);
  try {
    socket.write(frame(sent));
    for await (const message of readFrames(socket, 0xffff)) {
      if (answers(sent, message)) return withId(message, query.readUInt16BE(0));
    }
    throw new Error(`resolver ${resolver.address} closed the connection without an answer`);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
};
