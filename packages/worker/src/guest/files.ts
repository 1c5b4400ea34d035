import type { ClientHttp2Stream } from 'node:http2';
import { pipeline as join, Readable, Transform } from 'node:stream';
import { finished } from 'node:stream/promises';
import {
  agentPaths,
  ApiError,
  type GuestFileEntry,
  guestFileEntrySchema,
  type FileList,
  fileListType,
  guestFileListSchema,
  readFileList,
} from '@opencomputer/protocol';
import type { GuestChannel } from './channel.ts';
import { AnswerDeadline } from './deadline.ts';
import { guarded, piecesWithin, readBounded } from './pieces.ts';
import { begin, callJson, type CallBounds, endEmpty, parseAnswer } from './request.ts';

const headMs = 60_000;
/** Most bytes of the list of an agent that sends it as one document: parsing it holds up everybody. */
const documentBytes = 1024 * 1024;
/** An entry has nine fields, and 100 bytes at least. */
const documentJson = { containers: 12_000, commas: 120_000 };

function target(path: string, route = ''): string {
  return `${agentPaths.files}${route}?path=${encodeURIComponent(path)}`;
}

/** Ends the answer of a call whose success carries nothing. */
async function callEmpty(
  channel: GuestChannel,
  method: string,
  path: string,
  bounds: CallBounds,
): Promise<void> {
  const { stream } = await begin(await channel.session(), method, path, bounds);
  endEmpty(stream);
}

export interface FileDownload {
  stream: Readable;
  /** Bytes to come, where the guest knows; a guest that sends another number breaks the stream. */
  length: number | undefined;
}

/** An answer that breaks where it was broken off: Node ends a call as if it were whole when its connection drops. */
function unbroken(answer: ClientHttp2Stream): Readable {
  const checked = new Transform({
    transform: (part: Buffer, _encoding, done) => done(null, part),
    flush: (done) =>
      done(answer.rstCode === 0 ? null : new ApiError('guest_failed', 'the guest broke the file off')),
  });
  return join(answer, checked, () => {
    // Either end tells its own user; joined, they end together.
  });
}

/** Opens a file for reading. The stream breaks when the guest ends it early. */
export async function readFile(
  channel: GuestChannel,
  path: string,
  signal: AbortSignal,
): Promise<FileDownload> {
  const { stream, headers } = await begin(await channel.session(), 'GET', target(path), {
    deadlineMs: headMs,
    signal,
  });
  const length = Number(headers['content-length']);
  return {
    stream: unbroken(stream),
    length: Number.isSafeInteger(length) && length >= 0 ? length : undefined,
  };
}

/**
 * Passes all of a stream on and ends the upload. When either fails the content stays as it is, unlike in a pipeline: the
 * connection that it comes from is to carry the reason why the guest refused.
 */
async function passOn(content: Readable, upload: ClientHttp2Stream, signal: AbortSignal): Promise<void> {
  content.pipe(upload);
  const settled = new AbortController();
  const whole = finished(content, { writable: false, signal: settled.signal });
  const sent = finished(upload, { readable: false, signal: AbortSignal.any([settled.signal, signal]) });
  try {
    await Promise.all([whole, sent]);
  } catch (error) {
    // To close it would end the body cleanly first, and the guest would take a part for the whole.
    upload.destroy(error as Error);
    throw error;
  } finally {
    content.unpipe(upload);
    settled.abort();
  }
}

/** Writes a file from a stream; the old content stays unless the whole stream arrived. */
export async function writeFile(
  channel: GuestChannel,
  path: string,
  content: Readable,
  options: { length: number | undefined; signal: AbortSignal },
): Promise<void> {
  const length = options.length === undefined ? '' : `&length=${options.length}`;
  const { stream } = await begin(await channel.session(), 'PUT', `${target(path)}${length}`, {
    // Bounded by the size limit and the idle time-outs of the connection the content comes from.
    deadlineMs: 24 * 3600 * 1000,
    signal: options.signal,
    upload: (upload) => passOn(content, upload, options.signal),
  });
  endEmpty(stream);
}

/** Removes a file or a directory with all in it; a missing one is fine. */
export async function removePath(channel: GuestChannel, path: string): Promise<void> {
  await callEmpty(channel, 'DELETE', target(path), { deadlineMs: 10 * 60_000 });
}

/** Makes a directory and its parents. */
export async function makeDirectory(channel: GuestChannel, path: string): Promise<void> {
  await callEmpty(channel, 'POST', target(path, '/mkdir'), { deadlineMs: headMs });
}

/**
 * The entries of a directory, sorted by name, as they come.
 * @throws ApiError what the agent refused; `too_large` for more than an agent can list that knows no lines
 */
export async function listDirectory(
  channel: GuestChannel,
  path: string,
  signal: AbortSignal,
): Promise<FileList> {
  const call = target(path, '/list');
  const session = await channel.session();
  const { stream, headers } = await begin(session, 'GET', call, {
    deadlineMs: headMs,
    signal,
    accept: fileListType,
  });
  const pieces = piecesWithin(stream, new AnswerDeadline(session, headMs));
  if (headers['content-type'] === fileListType) return readFileList(pieces);
  const tooLarge = new ApiError(
    'too_large',
    `the agent of this sandbox is of an older version and lists at most ${documentBytes} bytes of a directory`,
    { hint: 'List its subdirectories, or run `ls` in it.' },
  );
  const document = await readBounded(guarded(pieces, documentJson), documentBytes, tooLarge);
  const { entries, truncated } = parseAnswer(document, guestFileListSchema, call);
  return { truncated, entries: Readable.from([entries]) };
}

/** What is at a path. */
export async function statPath(channel: GuestChannel, path: string): Promise<GuestFileEntry> {
  return callJson(await channel.session(), 'GET', target(path, '/stat'), guestFileEntrySchema, {
    deadlineMs: headMs,
  });
}
