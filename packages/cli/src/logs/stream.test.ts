import { expect, test } from 'vitest';
import { parseEvents } from './stream.ts';

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text, 'latin1');
}

async function all(...texts: string[]): Promise<string[]> {
  const lines: string[] = [];
  const hibernated = (): void => void lines.push('(hibernated)');
  for await (const { line } of parseEvents(pieces(...texts), hibernated)) lines.push(line);
  return lines;
}

const event = (line: string): string =>
  Buffer.from(
    `data: ${JSON.stringify({ _time: '2026-01-01T00:00:00Z', source: 'agent', line })}\n\n`,
  ).toString('latin1');

test('events may be cut anywhere, also inside a character', async () => {
  const text = `: keepalive\n\n${event('grün')}${event('second')}`;
  for (let cut = 0; cut <= text.length; cut += 1)
    expect(await all(text.slice(0, cut), text.slice(cut))).toEqual(['grün', 'second']);
});

test('a hibernation that ends the stream is reported, also when its comment comes in pieces', async () => {
  const text = `${event('last')}: hibernated\n\n`;
  for (let cut = 0; cut <= text.length; cut += 1)
    expect(await all(text.slice(0, cut), text.slice(cut))).toEqual(['last', '(hibernated)']);
});

test('what is no line of log is said to be none', async () => {
  await expect(all('data: {"x":1}\n\n')).rejects.toThrow('something else');
  await expect(all('data: {"line"')).resolves.toEqual([]);
  await expect(all(...Array.from({ length: 5 }, () => 'x'.repeat(300_000)))).rejects.toThrow(
    'without an end',
  );
});
