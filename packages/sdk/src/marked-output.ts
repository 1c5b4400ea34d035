/** How much of one stream of a command is kept; the oldest output is dropped first. */
const mostKept = 8 * 1024 * 1024;

/** Output up to a marker, which separates the output of a command from what follows. */
export class MarkedOutput {
  readonly #marker: Uint8Array;
  readonly #onOutput: ((data: Uint8Array) => void) | undefined;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #truncated = false;
  /** The end of the received output, which may be the beginning of the marker. */
  #held: Uint8Array = new Uint8Array();
  #after: Uint8Array | undefined;

  constructor(marker: string, onOutput: ((data: Uint8Array) => void) | undefined) {
    this.#marker = new TextEncoder().encode(marker);
    this.#onOutput = onOutput;
  }

  /** What has come after the marker; undefined until the marker has come. */
  get after(): Uint8Array | undefined {
    return this.#after;
  }

  /** True when there was more than is kept. */
  get truncated(): boolean {
    return this.#truncated;
  }

  /** What came before the marker, read as UTF-8. */
  text(): string {
    return new TextDecoder().decode(joined(this.#kept));
  }

  push(data: Uint8Array): void {
    if (this.#after !== undefined) {
      this.#after = joined([this.#after, data]);
      return;
    }
    const bytes = this.#held.byteLength === 0 ? data : joined([this.#held, data]);
    const found = indexOf(bytes, this.#marker);
    const end = found === -1 ? Math.max(0, bytes.byteLength - this.#marker.byteLength + 1) : found;
    this.#keep(bytes.subarray(0, end));
    if (found === -1) this.#held = bytes.slice(end);
    else this.#after = bytes.slice(found + this.#marker.byteLength);
  }

  #keep(data: Uint8Array): void {
    if (data.byteLength === 0) return;
    this.#onOutput?.(data);
    this.#kept.push(data);
    this.#keptBytes += data.byteLength;
    while (this.#keptBytes > mostKept) {
      const oldest = this.#kept[0] ?? data;
      const excess = this.#keptBytes - mostKept;
      const dropped = Math.min(excess, oldest.byteLength);
      if (dropped === oldest.byteLength) this.#kept.shift();
      else this.#kept[0] = oldest.subarray(dropped);
      this.#keptBytes -= dropped;
      this.#truncated = true;
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

function indexOf(bytes: Uint8Array, marker: Uint8Array): number {
  const [first = 0] = marker;
  const last = bytes.byteLength - marker.byteLength;
  for (let at = bytes.indexOf(first); at !== -1 && at <= last; at = bytes.indexOf(first, at + 1))
    if (marker.every((byte, index) => bytes[at + index] === byte)) return at;
  return -1;
}
