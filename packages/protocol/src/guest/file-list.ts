import { setImmediate as othersTurn } from 'node:timers/promises';
import { z } from 'zod';
import { ApiError } from '../errors.ts';
import { type ListedFile, listedFileSchema } from './files.ts';
import { listOf } from './list.ts';
import { limits } from '../limits.ts';

/**
 * Lists of directories, as guest agent and worker send them: lines of JSON. The first says whether the directory has
 * more entries than are listed, the last that the list is complete, each line between them is one entry. No line
 * contains nested values, and braces and brackets in names are escaped, so that a hostile line is refused before it is
 * parsed.
 */
export const fileListType = 'application/x-ndjson';

/** A name has at most 255 bytes, and each may take six in JSON; the rest of an entry is short. */
const lineBytes = 4 * 1024;
/** Most bytes of a list: enough for the largest number of entries with long names of plain characters. */
const listBytes = 64 * 1024 * 1024;
/** How much is parsed in one turn of the event loop. */
const turnBytes = 64 * 1024;

const newline = 0x0a;

const headSchema = z.object({ truncated: z.boolean() });
const endSchema = z.object({ end: z.literal(true) });

/** The list of a directory, sorted by name. */
export interface FileList {
  /** The directory has more entries than are listed. */
  readonly truncated: boolean;
  /**
   * The entries, in batches; those of a small list come as one batch, once the list is complete.
   * @throws ApiError `guest_failed` where the list is cut off or invalid, `too_large`
   */
  readonly entries: AsyncIterable<ListedFile[]>;
}

function flat(value: object): string {
  const text = JSON.stringify(value);
  return `{${text.slice(1).replaceAll('{', '\\u007b').replaceAll('[', '\\u005b')}\n`;
}

/** A list in the form in which it is sent, in pieces. Throws what reading the list throws. */
export async function* encodeFileList({ truncated, entries }: FileList): AsyncGenerator<string> {
  let piece = flat({ truncated });
  for await (const some of entries) {
    yield piece + some.map(flat).join('');
    piece = '';
  }
  yield piece + flat({ end: true });
}

/** Parses lines together, which is faster than one by one. */
function parseLines<Schema extends z.ZodType>(lines: string[], schema: Schema): z.output<Schema>[] {
  for (const line of lines) {
    if (line.length > lineBytes)
      throw new ApiError(
        'guest_failed',
        `a line of the list of a directory is longer than ${lineBytes} bytes`,
      );
    if (!line.startsWith('{') || line.lastIndexOf('{') !== 0 || line.includes('['))
      throw new ApiError('guest_failed', 'a line of the list of a directory is not an object of values');
  }
  let values: unknown;
  try {
    values = JSON.parse(`[${lines.join(',')}]`);
  } catch (error) {
    throw new ApiError('guest_failed', 'a line of the list of a directory is not JSON', { cause: error });
  }
  const parsed = listOf(schema, lines.length).safeParse(values);
  if (parsed.success && parsed.data.length === lines.length) return parsed.data;
  throw new ApiError('guest_failed', 'a line of the list of a directory has the wrong form', {
    cause: parsed.error,
  });
}

/** Cuts a stream into batches of lines, and yields to the event loop between them. */
async function* cutLines(source: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let all = 0;
  for await (const chunk of source) {
    all += chunk.length;
    if (all > listBytes)
      throw new ApiError('too_large', `the list of the directory has more than ${listBytes} bytes`, {
        hint: 'List its subdirectories, or run `ls` in it.',
      });
    for (let from = 0; from < chunk.length; from += turnBytes) {
      const piece = chunk.subarray(from, from + turnBytes);
      const last = piece.lastIndexOf(newline);
      if (last === -1) {
        held.push(piece);
        heldBytes += piece.length;
      } else {
        held.push(piece.subarray(0, last));
        const lines = Buffer.concat(held).toString().split('\n');
        held = [piece.subarray(last + 1)];
        heldBytes = piece.length - last - 1;
        yield lines;
        await othersTurn();
      }
      if (heldBytes > lineBytes)
        throw new ApiError(
          'guest_failed',
          `a line of the list of a directory is longer than ${lineBytes} bytes`,
        );
    }
  }
}

function brokenOff(cause?: unknown): ApiError {
  return new ApiError('guest_failed', 'the list of the directory was broken off', { cause });
}

/** @param held the newest line: an entry if another line follows, else the end of the list */
async function* readEntries(
  lines: AsyncGenerator<string[]>,
  following: string[],
): AsyncGenerator<ListedFile[]> {
  let held: string | undefined;
  let ready: ListedFile[] = [];
  let count = 0;
  try {
    for (let more: string[] | void = following; more !== undefined; more = (await lines.next()).value) {
      const entries = held === undefined ? more : [held, ...more];
      held = entries.pop();
      count += entries.length;
      if (count > limits.listedFiles)
        throw new ApiError('guest_failed', `the guest listed more than ${limits.listedFiles} entries`);
      // A list of one piece is reported when its end has come.
      if (ready.length > 0) yield ready;
      ready = parseLines(entries, listedFileSchema);
    }
    if (held === undefined) throw brokenOff();
    try {
      parseLines([held], endSchema);
    } catch (error) {
      throw brokenOff(error);
    }
    yield ready;
  } finally {
    // Makes the sender stop, also when the reader stops early.
    await lines.return(undefined);
  }
}

/**
 * Reads a list of a directory, and yields to the event loop after every few hundred entries.
 * @throws ApiError `guest_failed` when it does not begin like a list
 */
export async function readFileList(source: AsyncIterable<Buffer>): Promise<FileList> {
  const lines = cutLines(source);
  try {
    const [head, ...following] = (await lines.next()).value ?? [];
    const [first] = head === undefined ? [] : parseLines([head], headSchema);
    if (first === undefined) throw brokenOff();
    return { truncated: first.truncated, entries: readEntries(lines, following) };
  } catch (error) {
    await lines.return(undefined);
    throw error;
  }
}
