import { BrokenFrame, encodeCounter, encodeExitCode, frameTypes } from '../frames.ts';

/** Most bytes of one message from a client. */
export const clientMessageBytes = 1024 * 1024;
/** Most bytes of output in one message to a client of the plain protocol. */
export const plainPayloadBytes = 4096;

/** A message from a client of a session. */
export type ClientFrame = { readonly type: 'stdin'; readonly data: Buffer } | { readonly type: 'endOfStdin' };

function message(type: number, payload?: Uint8Array): Buffer {
  if (payload === undefined) return Buffer.of(type);
  const bytes = Buffer.allocUnsafe(1 + payload.length);
  bytes[0] = type;
  bytes.set(payload, 1);
  return bytes;
}

/** Messages of a session to a client: one byte for the type, then the payload. */
export const clientMessages = {
  output: (stream: 1 | 2, data: Uint8Array): Buffer => message(stream, data),
  exit: (code: number): Buffer => message(frameTypes.exit, encodeExitCode(code)),
  replayed: (): Buffer => message(frameTypes.end),
  gap: (bytes: number): Buffer => message(frameTypes.gap, encodeCounter(bytes)),
  accepted: (bytes: number): Buffer => message(frameTypes.accepted, encodeCounter(bytes)),
  offset: (offset: number): Buffer => message(frameTypes.offset, encodeCounter(offset)),
  power: (awake: boolean): Buffer => message(frameTypes.power, Buffer.of(awake ? 1 : 0)),
  /** Towards the session. */
  stdin: (data: Uint8Array): Buffer => message(frameTypes.stdin, data),
  /** Towards the session. */
  endOfStdin: (): Buffer => message(frameTypes.end),
} as const;

/**
 * Reads a message of a client; undefined for one that is to be ignored: empty, of an unknown type, or input of no
 * bytes.
 * @throws BrokenFrame when it is larger than a message may be.
 */
export function readClientMessage(bytes: Buffer): ClientFrame | undefined {
  if (bytes.length > clientMessageBytes)
    throw new BrokenFrame(`a message has at most ${clientMessageBytes} bytes, not ${bytes.length}`);
  if (bytes[0] === frameTypes.end) return { type: 'endOfStdin' };
  if (bytes[0] !== frameTypes.stdin || bytes.length === 1) return undefined;
  return { type: 'stdin', data: bytes.subarray(1) };
}

/** Cuts bytes into parts of at most `size` bytes, in order and without copying. */
export function* partsOf(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
