/** Streams of a session's output. */
export type OutputStream = 'stdout' | 'stderr';

/** A message of the server on the socket of a session. */
export type Frame =
  | { type: 'output'; stream: OutputStream; data: Uint8Array }
  | { type: 'exit'; code: number }
  | { type: 'replayEnd' }
  | { type: 'gap'; bytes: number }
  | { type: 'accepted'; bytes: number }
  | { type: 'offset'; offset: number }
  | { type: 'power'; awake: boolean };

const toServer = { stdin: 0, endOfStdin: 4 } as const;
const fromServer = {
  stdout: 1,
  stderr: 2,
  exit: 3,
  replayEnd: 4,
  gap: 5,
  accepted: 6,
  offset: 7,
  power: 9,
} as const;

/** Most bytes of input in one frame; servers refuse messages beyond 1 MiB. */
const longestInput = 64 * 1024;

/**
 * Parses one message. Undefined for what this client ignores: an empty message, or an unknown type.
 *
 * @throws RangeError when a frame of a known type is too short or contains an impossible number
 */
export function parseFrame(message: Uint8Array): Frame | undefined {
  const payload = message.subarray(1);
  switch (message[0] ?? -1) {
    case fromServer.stdout:
      return { type: 'output', stream: 'stdout', data: payload };
    case fromServer.stderr:
      return { type: 'output', stream: 'stderr', data: payload };
    case fromServer.exit:
      return { type: 'exit', code: payload.byteLength < 4 ? 0 : view(payload).getInt32(0) };
    case fromServer.replayEnd:
      return { type: 'replayEnd' };
    case fromServer.gap:
      return { type: 'gap', bytes: count(payload) };
    case fromServer.accepted:
      return { type: 'accepted', bytes: count(payload) };
    case fromServer.offset:
      return { type: 'offset', offset: count(payload) };
    case fromServer.power:
      return { type: 'power', awake: view(payload).getUint8(0) !== 0 };
    default:
      return undefined;
  }
}

/** Frames that carry the bytes to the command's standard input. */
export function* inputFrames(data: Uint8Array): Generator<Uint8Array<ArrayBuffer>> {
  for (let start = 0; start < data.byteLength; start += longestInput) {
    const part = data.subarray(start, start + longestInput);
    const frame = new Uint8Array(1 + part.byteLength);
    frame[0] = toServer.stdin;
    frame.set(part, 1);
    yield frame;
  }
}

/** The frame that ends the command's standard input. */
export function endOfInputFrame(): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(toServer.endOfStdin);
}

function count(payload: Uint8Array): number {
  const value = Number(view(payload).getBigUint64(0));
  if (!Number.isSafeInteger(value)) throw new RangeError(`a count of ${value} bytes cannot be`);
  return value;
}

function view(payload: Uint8Array): DataView {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
}
