import { formatDuration } from './format.ts';

/** Anything shorter needs no words. */
const silentMs = 1000;
const refreshMs = 200;
const clearLine = '\r\u001b[K';

/** Where a progress line goes. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** One line that says what is being waited for; it comes after a second, on terminals only, and goes at the end. */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #started = Date.now();
  readonly #timer: NodeJS.Timeout | undefined;
  #text: () => string;
  #shown = false;

  constructor(stream: ProgressStream, text: string | (() => string)) {
    this.#stream = stream;
    this.#text = typeof text === 'string' ? () => text : text;
    if (stream.isTTY !== true) return;
    this.#timer = setInterval(() => this.#draw(), refreshMs);
    this.#timer.unref();
  }

  /** Takes the line away. */
  end(): void {
    clearInterval(this.#timer);
    this.#text = () => '';
    if (this.#shown) this.#stream.write(clearLine);
    this.#shown = false;
  }

  #draw(): void {
    const elapsed = Date.now() - this.#started;
    if (elapsed < silentMs) return;
    const line = `${this.#text()} … ${formatDuration(elapsed)}`;
    this.#stream.write(clearLine + line.slice(0, (this.#stream.columns ?? 80) - 1));
    this.#shown = true;
  }
}
