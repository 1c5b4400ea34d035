import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type Line, readLines } from './lines.ts';

async function linesOf(chunks: (string | Uint8Array)[], maxBytes = 100): Promise<Line[]> {
  async function* input() {
    for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
  }
  return (await Readable.from(readLines(input(), maxBytes)).toArray()) as Line[];
}

describe('lines of input', () => {
  it('are the same wherever the chunks end', async () => {
    const bytes = Buffer.from('{"a":1}\n\n  \r\nzwölf\r\nlast');
    const expected = ['{"a":1}', 'zwölf', 'last'].map((text) => ({ text }));
    for (let size = 1; size <= bytes.length; size++) {
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
      expect(await linesOf(chunks)).toEqual(expected);
    }
  });

  it('are dropped where they are too long, whole and alone', async () => {
    const long = 'x'.repeat(101);
    expect(await linesOf(['a\n', long, `${long}\nb\n`, 'y'.repeat(100)])).toEqual([
      { text: 'a' },
      { tooLong: true },
      { text: 'b' },
      { text: 'y'.repeat(100) },
    ]);
  });

  it('may be none', async () => {
    expect(await linesOf([])).toEqual([]);
    expect(await linesOf(['\n\n'])).toEqual([]);
  });
});
