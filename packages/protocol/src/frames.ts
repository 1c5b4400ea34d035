/** The largest number in the protocol of sessions: numbers count bytes of output, and must fit a double. */
const counterMax = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * Types of the frames between a session in the guest and the clients that are attached to it.
 * Clients get 0x01 to 0x04; those that give `from` get 0x05 to 0x07 and 0x09 too.
 */
export const frameTypes = {
  /** Towards the session: bytes for its standard input. */
  stdin: 0,
  stdout: 1,
  stderr: 2,
  /** i32: the exit code; nothing follows. */
  exit: 3,
  /** From the session: all earlier output has been sent. Towards it: end of standard input. */
  end: 4,
  /** u64: bytes of output that are lost at this place. */
  gap: 5,
  /** u64: bytes of this writer's input that the session has taken so far. */
  accepted: 6,
  /** u64: the offset of the next byte of output, before a gap that follows. */
  offset: 7,
  /** Towards the session, u64: the offset up to which the reader has received the output. */
  taken: 8,
  /** Only from the server to a client, u8: 0 when the sandbox hibernates, 1 when it runs again. */
  power: 9,
} as const;

/** Thrown for bytes that are not a valid frame. */
export class BrokenFrame extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BrokenFrame';
  }
}

/** A parsed frame from a session. */
export type SessionFrame =
  | { readonly type: 'output'; readonly stream: 1 | 2; readonly data: Buffer }
  | { readonly type: 'exit'; readonly code: number }
  /** The offset at the end of the replay; undefined in a message to a client, which does not carry it. */
  | { readonly type: 'replayed'; readonly offset: number | undefined }
  | { readonly type: 'gap'; readonly bytes: number }
  | { readonly type: 'accepted'; readonly bytes: number }
  | { readonly type: 'offset'; readonly offset: number }
  | { readonly type: 'power'; readonly awake: boolean };

/** A u64 as eight bytes, big-endian. @throws RangeError when it is not a whole number in range */
export function encodeCounter(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is not a count`);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** An exit code as four bytes, big-endian. */
export function encodeExitCode(code: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(code);
  return bytes;
}

function readCounter(payload: Buffer, what: string): number {
  if (payload.length !== 8)
    throw new BrokenFrame(`a frame of the ${what} has 8 bytes, not ${payload.length}`);
  const value = payload.readBigUInt64BE();
  if (value > counterMax) throw new BrokenFrame(`the ${what} is out of range`);
  return Number(value);
}

function readExitCode(payload: Buffer): number {
  if (payload.length !== 4)
    throw new BrokenFrame(`a frame of the exit code has 4 bytes, not ${payload.length}`);
  return payload.readInt32BE();
}

/**
 * Parses a frame from a session; undefined for an unknown type, which the caller ignores.
 * @throws BrokenFrame when the payload does not fit the type.
 */
export function readSessionFrame(type: number, payload: Buffer): SessionFrame | undefined {
  switch (type) {
    case frameTypes.stdout:
    case frameTypes.stderr:
      return { type: 'output', stream: type, data: payload };
    case frameTypes.exit:
      return { type: 'exit', code: readExitCode(payload) };
    case frameTypes.end:
      return {
        type: 'replayed',
        offset: payload.length === 0 ? undefined : readCounter(payload, 'end of the replay'),
      };
    case frameTypes.gap:
      return { type: 'gap', bytes: readCounter(payload, 'gap') };
    case frameTypes.accepted:
      return { type: 'accepted', bytes: readCounter(payload, 'accepted input') };
    case frameTypes.offset:
      return { type: 'offset', offset: readCounter(payload, 'offset') };
    case frameTypes.power:
      if (payload.length !== 1)
        throw new BrokenFrame(`a frame of the power has 1 byte, not ${payload.length}`);
      return { type: 'power', awake: payload[0] !== 0 };
    default:
      return undefined;
  }
}
