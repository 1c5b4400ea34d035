import { formatDuration } from './format.ts';

/** Anything shorter needs no progress line. */
const silentMs = 1000;
const refreshMs = 200;
const clearLine = '\r\u001b[K';

/** The stream for the progress line. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** One line that says what `oc` waits for. It appears after a second, only on terminals, and is removed at the end. */
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

  /** Removes the line. */
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
