import { BrokenFrame } from '../frames.ts';

/** Type and length before every payload. */
const headerBytes = 5;

/** Most bytes that a frame between guest agent and server carries. */
export const guestPayloadBytes = 64 * 1024;

/** A frame of the guest agent: type u8, length u32 big-endian, payload. */
export interface GuestFrame {
  readonly type: number;
  readonly payload: Buffer;
}

/** @throws RangeError when the payload is too large for one frame. */
export function encodeGuestFrame(type: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  if (payload.length > guestPayloadBytes)
    throw new RangeError(`a frame carries at most ${guestPayloadBytes} bytes, not ${payload.length}`);
  const frame = Buffer.allocUnsafe(headerBytes + payload.length);
  frame.writeUInt8(type);
  frame.writeUInt32BE(payload.length, 1);
  frame.set(payload, headerBytes);
  return frame;
}

function checkLength(length: number): void {
  if (length > guestPayloadBytes)
    throw new BrokenFrame(`a frame of ${length} bytes, where ${guestPayloadBytes} are the most`);
}

/** Cuts a stream of bytes into frames. It buffers less than one frame. */
export class GuestFrameParser {
  #parts: Buffer[] = [];
  #have = 0;
  /** Bytes that must have arrived before anything can be parsed. */
  #need = headerBytes;

  /** True when the stream may end here. */
  get complete(): boolean {
    return this.#have === 0;
  }

  /** True when `push` may give more frames without a further chunk. */
  get hasMore(): boolean {
    return this.#have >= this.#need;
  }

  /**
   * The frames that are complete now. They share memory with `chunk`.
   * @param most how many at most; the next call gives those after them
   * @throws BrokenFrame when one is too large
   */
  push(chunk: Buffer, most = Infinity): GuestFrame[] {
    if (chunk.length > 0) this.#parts.push(chunk);
    this.#have += chunk.length;
    // Joined once per frame and not once per chunk: chunks may be as small as one byte.
    if (this.#have < this.#need) return [];
    const [only] = this.#parts;
    const bytes = this.#parts.length === 1 && only !== undefined ? only : Buffer.concat(this.#parts);
    const frames: GuestFrame[] = [];
    let at = 0;
    this.#need = headerBytes;
    while (frames.length < most && bytes.length - at >= headerBytes) {
      const length = bytes.readUInt32BE(at + 1);
      checkLength(length);
      const end = at + headerBytes + length;
      if (end > bytes.length) {
        this.#need = headerBytes + length;
        break;
      }
      frames.push({ type: bytes.readUInt8(at), payload: bytes.subarray(at + headerBytes, end) });
      at = end;
    }
    const rest = bytes.subarray(at);
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#have = rest.length;
    return frames;
  }
}

/** Checks the lengths of frames in a stream that is passed on without parsing it. */
export class GuestFrameGuard {
  readonly #header = Buffer.alloc(headerBytes);
  #headerHave = 0;
  #payloadLeft = 0;

  /** True when the stream may end here. */
  get complete(): boolean {
    return this.#headerHave === 0 && this.#payloadLeft === 0;
  }

  /** @throws BrokenFrame when a frame that begins in `chunk` is too large. */
  check(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const skipped = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= skipped;
        at += skipped;
        continue;
      }
      const taken = chunk.copy(this.#header, this.#headerHave, at, at + headerBytes - this.#headerHave);
      this.#headerHave += taken;
      at += taken;
      if (this.#headerHave < headerBytes) return;
      this.#headerHave = 0;
      this.#payloadLeft = this.#header.readUInt32BE(1);
      checkLength(this.#payloadLeft);
    }
  }
}
