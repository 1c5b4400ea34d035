/** Messages of a DNS-over-TCP stream: two bytes of length, then the message (RFC 1035, section 4.2.2). */
export async function* readFrames(chunks: AsyncIterable<Buffer>, limit: number): AsyncGenerator<Buffer> {
  let held = Buffer.alloc(0);
  for await (const chunk of chunks) {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 2) {
      const length = held.readUInt16BE(0);
      if (length === 0 || length > limit)
        throw new RangeError(`DNS message of ${length} bytes, limit ${limit}`);
      if (held.length < 2 + length) break;
      yield held.subarray(2, 2 + length);
      held = held.subarray(2 + length);
    }
  }
}

export function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length, 0);
  return Buffer.concat([length, message]);
}
