/** Bytes before the question: id, flags, four counts (RFC 1035, section 4.1.1). */
const headerBytes = 12;

/** Longest query that is forwarded; real ones have less than 600 bytes. */
export const queryLimit = 4096;

const responseFlag = 0x80;
const recursionAvailable = 0x80;
const serverFailureCode = 2;

/** Whether a client's message has the size and the flag of a query. */
export function isQuery(message: Buffer): boolean {
  return message.length >= headerBytes && message.length <= queryLimit && (message[2]! & responseFlag) === 0;
}

/** The question section, where it has exactly one question; else undefined. */
function question(message: Buffer): Buffer | undefined {
  if (message.length < headerBytes || message.readUInt16BE(4) !== 1) return undefined;
  let offset = headerBytes;
  for (;;) {
    const length = message[offset];
    if (length === undefined || length > 63) return undefined;
    offset += 1 + length;
    if (length === 0) break;
  }
  return offset + 4 <= message.length ? message.subarray(headerBytes, offset + 4) : undefined;
}

/** A copy of a query or answer with another id. */
export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** Whether a message from upstream answers the query sent: same id, same question where it repeats one. */
export function answers(query: Buffer, message: Buffer): boolean {
  if (message.length < headerBytes || (message[2]! & responseFlag) === 0) return false;
  if (message.readUInt16BE(0) !== query.readUInt16BE(0)) return false;
  // Servers that could not parse a query may answer without the question.
  if (message.readUInt16BE(4) === 0) return message.readUInt16BE(6) === 0;
  const asked = question(query);
  const repeated = question(message);
  return asked !== undefined && repeated !== undefined && asked.equals(repeated);
}

/** The answer "server failure" to a query. */
export function serverFailure(query: Buffer): Buffer {
  const asked = question(query);
  const header = Buffer.alloc(headerBytes);
  query.copy(header, 0, 0, 4);
  header[2]! |= responseFlag;
  header[3] = recursionAvailable | serverFailureCode;
  header.writeUInt16BE(asked === undefined ? 0 : 1, 4);
  return asked === undefined ? header : Buffer.concat([header, asked]);
}
