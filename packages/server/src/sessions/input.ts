/**
 * Most frames under way that the session has not taken. It reads what else it is sent, such as how much of its output
 * has been read, beside no more of them than this.
 */
const underWay = 4;
/** Most bytes of input that wait for the session before its writer is held back. */
const heldBytes = 256 * 1024;

/**
 * What a writer has sent and the session has not taken yet, in order. It is sent again after the connection to the
 * session broke, from the byte that the session says it has not got.
 */
export class InputQueue {
  /** Sent on the present connection, not acknowledged. */
  #sent: Buffer[] = [];
  #unsent: Buffer[] = [];
  #bytes = 0;
  /** Bytes that the session has taken of this writer. */
  #accepted: number | undefined;
  #ended = false;
  #endSent = false;

  /** Bytes that the session has not taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** True while there is something that the session has not got, be it only the end. */
  get waits(): boolean {
    return this.#bytes > 0 || (this.#ended && !this.#endSent);
  }

  /** True while the writer should send no more. */
  get full(): boolean {
    return this.#bytes >= heldBytes;
  }

  push(data: Buffer): void {
    if (data.length === 0 || this.#ended) return;
    this.#unsent.push(data);
    this.#bytes += data.length;
  }

  /** Nothing more will come: the session is to see the end of its input. */
  end(): void {
    this.#ended = true;
  }

  /** A new connection to the session stands, which has taken so many bytes of this writer in all. */
  restart(accepted: number): void {
    this.#unsent = [...this.#sent, ...this.#unsent];
    this.#sent = [];
    this.#endSent = false;
    const news = accepted - (this.#accepted ?? accepted);
    this.#accepted = accepted;
    // Fewer than before: the session was put back to an earlier state, and what is held here comes after it.
    if (news > 0) this.#bytes -= dropFront(this.#unsent, news);
  }

  /** The session has taken so many bytes of this writer in all. */
  acknowledge(accepted: number): void {
    const news = accepted - (this.#accepted ?? accepted);
    if (news <= 0) return;
    this.#accepted = accepted;
    this.#bytes -= dropFront(this.#sent, news);
  }

  /** The next bytes to send, at most `max`; undefined when there are none, or enough are under way. */
  next(max: number): Buffer | undefined {
    if (this.#sent.length >= underWay) return undefined;
    let size = 0;
    let count = 0;
    for (const part of this.#unsent) {
      if (size + part.length > max) break;
      size += part.length;
      count += 1;
    }
    const [first] = this.#unsent;
    if (first === undefined) return undefined;
    let part: Buffer;
    if (count === 0) {
      part = first.subarray(0, max);
      this.#unsent[0] = first.subarray(max);
    } else {
      const whole = this.#unsent.splice(0, count);
      part = count === 1 ? first : Buffer.concat(whole);
    }
    this.#sent.push(part);
    return part;
  }

  /** True once when all is sent and the end of the input is to be sent. */
  takeEnd(): boolean {
    if (!this.#ended || this.#endSent || this.#unsent.length > 0) return false;
    this.#endSent = true;
    return true;
  }
}

/** Removes bytes from the front of a list of parts. @returns how many were there to remove */
function dropFront(parts: Buffer[], bytes: number): number {
  let left = bytes;
  let whole = 0;
  for (const part of parts) {
    if (part.length > left) break;
    left -= part.length;
    whole += 1;
  }
  parts.splice(0, whole);
  const [first] = parts;
  if (first === undefined || left === 0) return bytes - left;
  parts[0] = first.subarray(left);
  return bytes;
}
