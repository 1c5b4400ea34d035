import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import {
  ApiError,
  encodeFileList,
  type FileList,
  fileListType,
  resolveGuestPath,
} from '@opencomputer/protocol';
import { listDirectory, makeDirectory, readFile, removePath, statPath, writeFile } from '../guest/index.ts';
import type { MachineRegistry } from '../machine/registry.ts';
import { sendEmpty, sendJson } from './respond.ts';
import type { Call, Routes } from './router.ts';

function pathOf({ url }: Call): string {
  return resolveGuestPath(url.searchParams.get('path') ?? undefined);
}

/** The declared length of a body; undefined when it comes in chunks. */
function declaredLength({ request }: Call): number | undefined {
  const header = request.headers['content-length'];
  return header === undefined ? undefined : Number(header);
}

/** Sends a list as it comes. A failure before the first entries is thrown; after them the answer is cut off. */
async function sendList(response: ServerResponse, list: FileList): Promise<void> {
  const pieces = encodeFileList(list);
  const first = await pieces.next();
  response.writeHead(200, { 'content-type': fileListType });
  try {
    await pipeline(async function* all() {
      yield first.value;
      yield* pieces;
    }, response);
  } catch {
    // The reader sees that the end of the list is missing.
    response.destroy();
  }
}

/** Files in machines. Bodies are passed on as they come, no faster than the slower side. */
export function fileRoutes(registry: MachineRegistry): Routes {
  return {
    'GET /v1/machines/:id/files': (call) =>
      registry.call(call.id, async (channel) => {
        const { stream, length } = await readFile(channel, pathOf(call), call.signal);
        call.response.writeHead(200, {
          'content-type': 'application/octet-stream',
          ...(length === undefined ? {} : { 'content-length': length }),
        });
        await pipeline(stream, call.response);
      }),
    'PUT /v1/machines/:id/files': async (call) => {
      const { request, signal } = call;
      await registry.call(call.id, (channel) =>
        writeFile(channel, pathOf(call), request, { length: declaredLength(call), signal }),
      );
      if (!request.complete) throw new ApiError('invalid_request', 'the body was cut off');
      sendEmpty(call.response);
    },
    'DELETE /v1/machines/:id/files': async (call) => {
      await registry.call(call.id, (channel) => removePath(channel, pathOf(call)), 'repeats');
      sendEmpty(call.response);
    },
    'GET /v1/machines/:id/files/list': (call) =>
      registry.call(
        call.id,
        async (channel) => sendList(call.response, await listDirectory(channel, pathOf(call), call.signal)),
        'repeats',
      ),
    'GET /v1/machines/:id/files/stat': async (call) =>
      sendJson(
        call.response,
        200,
        await registry.call(call.id, (channel) => statPath(channel, pathOf(call)), 'repeats'),
      ),
    'POST /v1/machines/:id/files/mkdir': async (call) => {
      await registry.call(call.id, (channel) => makeDirectory(channel, pathOf(call)), 'repeats');
      sendEmpty(call.response);
    },
  };
}
