import { formatBytes } from '../output/format.ts';

/** What has been copied so far. */
export class Tally {
  files = 0;
  size = 0;
  readonly skipped: string[] = [];

  file(): void {
    this.files += 1;
  }

  bytes(count: number): void {
    this.size += count;
  }

  /** What is neither file, folder nor link. */
  skip(path: string): void {
    this.skipped.push(path);
  }

  get text(): string {
    return `${this.files} ${this.files === 1 ? 'file' : 'files'}, ${formatBytes(this.size)}`;
  }
}

/** Counts bytes on their way. */
export async function* counted<Piece extends Uint8Array>(
  source: AsyncIterable<Piece>,
  tally: Tally,
): AsyncGenerator<Piece> {
  for await (const piece of source) {
    tally.bytes(piece.byteLength);
    yield piece;
  }
}
