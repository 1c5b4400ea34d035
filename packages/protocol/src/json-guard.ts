const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openBrace = 0x7b;
const openBracket = 0x5b;

/** How much a JSON text may hold. */
export interface JsonBounds {
  /** Objects and arrays. */
  readonly containers: number;
  /** Commas between values. */
  readonly commas: number;
}

/** For a text with few values, such as most answers. */
export const shortJson: JsonBounds = { containers: 64, commas: 1024 };

/**
 * Counts what a JSON text holds without parsing it: to parse many small values takes a hundred times as long as one
 * long string. The text may come in any pieces.
 */
export class JsonGuard {
  readonly #bounds: JsonBounds;
  #inString = false;
  #escaped = false;
  #containers = 0;
  #commas = 0;

  constructor(bounds: JsonBounds) {
    this.#bounds = bounds;
  }

  /** False when the text so far holds more than it may. */
  allows(piece: Uint8Array): boolean {
    let inString = this.#inString;
    let escaped = this.#escaped;
    for (const byte of piece) {
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quote) inString = false;
      } else if (byte === quote) inString = true;
      else if (byte === comma) this.#commas++;
      else if (byte === openBrace || byte === openBracket) this.#containers++;
    }
    this.#inString = inString;
    this.#escaped = escaped;
    return this.#containers <= this.#bounds.containers && this.#commas <= this.#bounds.commas;
  }
}
