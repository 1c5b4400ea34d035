import { ConflictError } from '@opencomputer/sdk';
import type { Readable } from 'node:stream';

/** How much input may be under way at a time; more waits in the pipe that it comes from. */
const mostOnTheWay = 2 * 1024 * 1024;

/** The destination of input. */
export interface InputSink {
  /** Resolves when the bytes have arrived. */
  send(data: Uint8Array): Promise<void>;
}

/**
 * Passes a stream on, as fast as the sink takes it and in bounded memory. Resolves at the end of the stream, or when
 * the sink takes no more because its command has ended.
 *
 * @throws what the sink throws otherwise
 */
export async function pump(source: Readable, sink: InputSink): Promise<void> {
  const onTheWay: { bytes: number; arrived: Promise<void> }[] = [];
  let waiting = 0;
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      const arrived = sink.send(chunk);
      // It is awaited below; until then a failure must not count as unhandled.
      arrived.catch(() => undefined);
      onTheWay.push({ bytes: chunk.byteLength, arrived });
      waiting += chunk.byteLength;
      while (waiting > mostOnTheWay) {
        const oldest = onTheWay.shift();
        if (oldest === undefined) break;
        await oldest.arrived;
        waiting -= oldest.bytes;
      }
    }
    for (const { arrived } of onTheWay) await arrived;
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
  }
}
