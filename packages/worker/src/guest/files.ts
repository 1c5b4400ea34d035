import type { ClientHttp2Stream } from 'node:http2';
import { pipeline as join, Readable, Transform } from 'node:stream';
import { finished } from 'node:stream/promises';
import {
  guestPaths,
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
/** Largest list in bytes of a guest agent that sends it as one document: parsing it blocks the event loop. */
const documentBytes = 1024 * 1024;
/** An entry has nine fields, and 100 bytes at least. */
const documentJson = { containers: 12_000, commas: 120_000 };

function target(path: string, route = ''): string {
  return `${guestPaths.files}${route}?path=${encodeURIComponent(path)}`;
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
  /** Bytes that will come, where the guest knows; if it sends another number, the stream breaks. */
  length: number | undefined;
}

/** A body that fails when it was cut off. Node itself ends a stream without an error when its connection drops. */
function unbroken(answer: ClientHttp2Stream): Readable {
  const checked = new Transform({
    transform: (part: Buffer, _encoding, done) => done(null, part),
    flush: (done) =>
      done(answer.rstCode === 0 ? null : new ApiError('guest_failed', 'the guest cut the file off')),
  });
  return join(answer, checked, () => {
    // Each end reports to its own user; as they are joined, they end together.
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
 * Sends all of a stream and ends the upload. Unlike `pipeline`, it does not destroy the content when the upload fails:
 * the connection that the content comes from must still carry the answer that says why.
 */
async function passOn(content: Readable, upload: ClientHttp2Stream, signal: AbortSignal): Promise<void> {
  content.pipe(upload);
  const settled = new AbortController();
  const whole = finished(content, { writable: false, signal: settled.signal });
  const sent = finished(upload, { readable: false, signal: AbortSignal.any([settled.signal, signal]) });
  try {
    await Promise.all([whole, sent]);
  } catch (error) {
    // Not `close`: that would end the body normally, and the guest would take a part of the file for all of it.
    upload.destroy(error as Error);
    throw error;
  } finally {
    content.unpipe(upload);
    settled.abort();
  }
}

/** Writes a file from a stream; the old content stays unless all of the stream arrives. */
export async function writeFile(
  channel: GuestChannel,
  path: string,
  content: Readable,
  options: { length: number | undefined; signal: AbortSignal },
): Promise<void> {
  const length = options.length === undefined ? '' : `&length=${options.length}`;
  const { stream } = await begin(await channel.session(), 'PUT', `${target(path)}${length}`, {
    // Bounded by the size limit, and by the idle timeouts of the connection that the content comes from.
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
 * @throws ApiError as the guest agent refuses it; `too_large` for more than an older guest agent can list
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
