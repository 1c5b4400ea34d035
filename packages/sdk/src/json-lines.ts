/** Longest line; a longer one is reported as an error and dropped. */
const longestLine = 32 * 1024 * 1024;

/** The items of a stream of JSON lines. */
export interface JsonLineHandlers {
  object(value: Record<string, unknown>): void;
  /** A line that is not a JSON object. */
  other(line: string): void;
}

/** Cuts a stream of bytes, which come in any pieces, into lines of JSON. */
export class JsonLines {
  readonly #handlers: JsonLineHandlers;
  readonly #decoder = new TextDecoder();
  /** The line that has not ended yet. */
  #parts: string[] = [];
  #length = 0;
  #overlong = false;

  constructor(handlers: JsonLineHandlers) {
    this.#handlers = handlers;
  }

  push(data: Uint8Array): void {
    const [first = '', ...rest] = this.#decoder.decode(data, { stream: true }).split('\n');
    this.#append(first);
    for (const part of rest) {
      this.end();
      this.#append(part);
    }
  }

  /** Ends the line, even without a newline. */
  end(): void {
    const line = this.#parts.join('').trim();
    const overlong = this.#overlong;
    this.#parts = [];
    this.#length = 0;
    this.#overlong = false;
    if (overlong) this.#handlers.other(`a line of more than ${longestLine} characters`);
    else if (line !== '') this.#parse(line);
  }

  #append(text: string): void {
    if (text === '' || this.#overlong) return;
    this.#length += text.length;
    this.#overlong = this.#length > longestLine;
    if (this.#overlong) this.#parts = [];
    else this.#parts.push(text);
  }

  #parse(line: string): void {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      this.#handlers.object({ ...value });
    else this.#handlers.other(line);
  }
}
