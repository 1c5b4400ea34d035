import { Readable } from 'node:stream';
import {
  ApiError,
  type FileEntry,
  type FileList,
  type GuestFileEntry,
  limits,
  resolveGuestPath,
} from '@opencomputer/protocol';
import { commonHeaders } from '../http/headers.ts';
import { clientGone, requestBody, sendStream } from '../http/server.ts';
import { type ApiContext, callerOf, type Handler, type Services } from './context.ts';
import { sandboxId } from './input.ts';
import { answerUnreadable } from './unreadable.ts';
import { boundedBody } from './upload.ts';

/** Characters of a list that are sent in one piece. */
const pieceLength = 64 * 1024;

function queryPath(c: ApiContext): string {
  return resolveGuestPath(c.req.query('path'));
}

function toFileEntry(entry: Omit<GuestFileEntry, 'uid' | 'gid'>): FileEntry {
  const { name, path, isDir, size, type, mode, modifiedAt } = entry;
  return { name, path, isDir, ...(size === 0 ? {} : { size }), type, mode, modifiedAt };
}

/** Sends a file. @param owner Undefined where a signature has authorized the request. */
export async function sendFile(
  c: ApiContext,
  { sandboxes, machines }: Pick<Services, 'machines' | 'sandboxes'>,
  owner: string | undefined,
  path: string,
): Promise<Response> {
  const id = sandboxId(c);
  const gone = clientGone(c);
  const file = await sandboxes.withMachine(owner, id, () => machines.readFile(id, path, gone));
  const length = file.headers['content-length'];
  const headers = {
    ...commonHeaders(c.get('requestId')),
    'content-type': 'application/octet-stream',
    'x-content-type-options': 'nosniff',
    ...(length === undefined ? {} : { 'content-length': length }),
  };
  if (c.req.method === 'HEAD') {
    file.destroy();
    return new Response(null, { headers });
  }
  return sendStream(c, headers, file, sandboxes.hold(id));
}

/** Stores the body of the request in a file; a body that is cut off changes nothing. */
export async function receiveFile(
  c: ApiContext,
  { sandboxes, machines }: Pick<Services, 'machines' | 'sandboxes'>,
  owner: string | undefined,
  path: string,
): Promise<Response> {
  const id = sandboxId(c);
  const declared = c.req.header('content-length');
  const length = declared === undefined ? undefined : Number(declared);
  if (length !== undefined && length > limits.fileBytes)
    throw new ApiError('too_large', `a file may have ${limits.fileBytes} bytes`, {
      details: { limit: limits.fileBytes },
    });
  await sandboxes.withMachine(owner, id, async () => {
    const open = (): Readable => boundedBody(requestBody(c), limits.fileBytes);
    await machines.writeFile(id, path, open, length);
  });
  return c.body(null, 204);
}

export const readFile: Handler<'machines' | 'sandboxes'> = async (c, services) => {
  try {
    return await sendFile(c, services, callerOf(c).owner, queryPath(c));
  } catch (error) {
    const answer = answerUnreadable(c, error);
    if (answer === undefined) throw error;
    return answer;
  }
};

export const writeFile: Handler<'machines' | 'sandboxes'> = async (c, services) =>
  receiveFile(c, services, callerOf(c).owner, queryPath(c));

export const deleteFile: Handler<'machines' | 'sandboxes'> = async (c, { sandboxes, machines }) => {
  const id = sandboxId(c);
  const path = queryPath(c);
  await sandboxes.withMachine(callerOf(c).owner, id, () => machines.deleteFile(id, path));
  return c.body(null, 204);
};

/** A list as clients get it, one JSON array in pieces: the first is there when this is. */
async function presentList(list: FileList, directory: string): Promise<AsyncIterable<string>> {
  const entries = list.entries[Symbol.asyncIterator]();
  let next = await entries.next();
  return (async function* pieces() {
    try {
      let piece = '[';
      for (let separator = ''; next.done !== true; next = await entries.next())
        for (const file of next.value) {
          piece += separator + JSON.stringify(toFileEntry({ ...file, path: `${directory}/${file.name}` }));
          separator = ',';
          if (piece.length < pieceLength) continue;
          yield piece;
          piece = '';
        }
      yield `${piece}]`;
    } finally {
      await entries.return?.();
    }
  })();
}

export const listFiles: Handler<'machines' | 'sandboxes'> = async (c, { sandboxes, machines }) => {
  const id = sandboxId(c);
  const path = resolveGuestPath(c.req.query('path') || '/');
  const gone = clientGone(c);
  const { truncated, pieces } = await sandboxes.withMachine(callerOf(c).owner, id, async () => {
    const list = await machines.listFiles(id, path, gone);
    return { truncated: list.truncated, pieces: await presentList(list, path === '/' ? '' : path) };
  });
  const headers = {
    ...commonHeaders(c.get('requestId')),
    'content-type': 'application/json',
    ...(truncated ? { 'x-truncated': 'true' } : {}),
  };
  if (c.req.method === 'HEAD') {
    for await (const _first of pieces) break;
    return new Response(null, { headers });
  }
  return sendStream(c, headers, Readable.from(pieces), sandboxes.hold(id));
};

export const makeDirectory: Handler<'machines' | 'sandboxes'> = async (c, { sandboxes, machines }) => {
  const id = sandboxId(c);
  const path = queryPath(c);
  await sandboxes.withMachine(callerOf(c).owner, id, () => machines.makeDirectory(id, path));
  return c.body(null, 204);
};
