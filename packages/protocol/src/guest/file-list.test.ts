import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { ApiError } from '../errors.ts';
import { encodeFileList, readFileList } from './file-list.ts';
import type { ListedFile } from './files.ts';

const file: ListedFile = {
  name: 'a',
  type: 'file',
  isDir: false,
  size: 1,
  mode: '0644',
  uid: 1000,
  gid: 1000,
  modifiedAt: '2026-01-01T00:00:00Z',
};
const head = '{"truncated":false}\n';
const end = '{"end":true}\n';
const line = `${JSON.stringify(file)}\n`;

async function read(source: AsyncIterable<Buffer>): Promise<[boolean, ListedFile[]]> {
  const { truncated, entries } = await readFileList(source);
  const all: ListedFile[] = [];
  for await (const some of entries) all.push(...some);
  return [truncated, all];
}

function pieces(text: string, size: number): AsyncIterable<Buffer> {
  const bytes = Buffer.from(text);
  const count = Math.ceil(bytes.length / size);
  return Readable.from(
    Array.from({ length: count }, (_, index) => bytes.subarray(index * size, (index + 1) * size)),
  );
}

async function refusal(text: string, size = 65_536): Promise<[string, string]> {
  try {
    await read(pieces(text, size));
  } catch (error) {
    if (error instanceof ApiError) return [error.code, error.message];
    throw error;
  }
  throw new Error('it was taken');
}

describe('a list', () => {
  test.each([1, 3, 100, 65_536])('arrives as it was sent, in pieces of %i bytes', async (size) => {
    const names = ['{', '[]', '}{', '"', '\\u007b', 'a\nb', 'ü', ' ', '{"end":true}', 'x'.repeat(255)];
    const files = names.map((name) => ({ ...file, name }));
    let text = '';
    for await (const piece of encodeFileList({ truncated: true, entries: Readable.from([files, files]) }))
      text += piece;
    expect(await read(pieces(text, size))).toEqual([true, [...files, ...files]]);
  });

  test('may be empty, and may say more of an entry than we know', async () => {
    expect(await read(pieces(head + end, 100))).toEqual([false, []]);
    const more = `${JSON.stringify({ ...file, more: 1 })}\n`;
    expect(await read(pieces(head + more + end, 100))).toEqual([false, [file]]);
  });

  test('of as many entries as there may be arrives whole, one more is refused', async () => {
    const most = line.repeat(100_000);
    expect((await read(pieces(head + most + end, 65_536)))[1]).toHaveLength(100_000);
    expect(await refusal(head + most + line + end)).toEqual([
      'guest_failed',
      'the guest listed more than 100000 entries',
    ]);
  });

  test.each([
    ['nothing', '', 'broken off'],
    ['no head', line + end, 'wrong form'],
    ['a head only', head, 'broken off'],
    ['no end', head + line, 'broken off'],
    ['half an end', head + line + end.slice(0, -1), 'broken off'],
    ['something after the end', head + end + line, 'wrong form'],
    ['a wrong entry', head + '{}\n' + end, 'wrong form'],
    ['a wrong size', head + line.replace(':1,', ':-1,') + end, 'wrong form'],
    ['no JSON', `${head}{"a\n${end}`, 'not JSON'],
    ['a list', `${head}[1]\n${end}`, 'not an object of values'],
    ['an empty line', `${head}\n${end}`, 'not an object of values'],
    ['an object in it', head + line.replace('{', '{"x":{},') + end, 'not an object of values'],
    ['a list in it', head + line.replace('{', '{"x":[],') + end, 'not an object of values'],
    ['a long line', head + line.replace('"a"', `"${'a'.repeat(5000)}"`) + end, 'longer than 4096 bytes'],
  ])('with %s is refused', async (_name, text, message) => {
    for (const size of [1, 65_536]) {
      const [code, said] = await refusal(text, size);
      expect([code, said]).toEqual(['guest_failed', expect.stringContaining(message)]);
    }
  });

  test.each([
    ['its first line', `{}\n${line.repeat(10_000)}`],
    ['an entry', `${head}{}\n${line.repeat(10_000)}`],
  ])('is read no further where %s is wrong', async (_name, text) => {
    const source = Readable.from(pieces(text, 100));
    await expect(read(source)).rejects.toThrow('wrong form');
    expect(source.destroyed).toBe(true);
  });

  test('that is left in the middle is read no further', async () => {
    const source = Readable.from(pieces(head + line.repeat(10_000) + end, 100));
    for await (const _some of (await readFileList(source)).entries) break;
    expect(source.destroyed).toBe(true);
  });

  test('of many megabytes says what to do instead', async () => {
    const long = `${JSON.stringify({ ...file, more: 'x'.repeat(3900) })}\n`;
    expect((await refusal(head + long.repeat(20_000) + end))[0]).toBe('too_large');
  });

  test('lets others have their turn', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await read(pieces(head + line.repeat(50_000) + end, 1024 * 1024));
    clearInterval(timer);
    // One after a few hundred lines; a timer fires once per millisecond at most.
    expect(turns).toBeGreaterThan(20);
  });
});
