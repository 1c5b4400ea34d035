/** A line of input, or that one was too long to be read. */
export type Line = { text: string } | { tooLong: true };

/**
 * Splits a stream of bytes into lines, without empty ones. What is beyond the limit of a line is dropped as it
 * comes, so that memory stays bounded whatever is sent. The last line needs no newline.
 * @param maxBytes longest line, in bytes
 */
export async function* readLines(input: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  const take = (): Line | undefined => {
    const line: Line =
      bytes > maxBytes ? { tooLong: true } : { text: Buffer.concat(parts).toString('utf8').trim() };
    parts = [];
    bytes = 0;
    return 'text' in line && line.text === '' ? undefined : line;
  };
  const add = (part: Uint8Array): void => {
    bytes += part.length;
    if (bytes <= maxBytes) parts.push(part);
    else parts = [];
  };
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      add(chunk.subarray(start, end));
      const line = take();
      if (line) yield line;
      start = end + 1;
    }
    if (start < chunk.length) add(chunk.subarray(start));
  }
  const line = take();
  if (line) yield line;
}
