import { pipeline } from 'node:stream/promises';
import { ApiError, resolveGuestPath } from '@opencomputer/protocol';
import { listDirectory, makeDirectory, readFile, removePath, statPath, writeFile } from '../guest/index.ts';
import type { MachineRegistry } from '../machine/registry.ts';
import { sendEmpty, sendJson } from './respond.ts';
import type { Call, Routes } from './router.ts';

function pathOf({ url }: Call): string {
  return resolveGuestPath(url.searchParams.get('path') ?? undefined);
}

/** Length of a body as its sender declares it; undefined when it comes in chunks. */
function declaredLength({ request }: Call): number | undefined {
  const header = request.headers['content-length'];
  return header === undefined ? undefined : Number(header);
}

/** Files in machines. Bodies are passed on as they come, with the pressure of the slower side. */
export function fileRoutes(registry: MachineRegistry): Routes {
  return {
    'GET /v1/machines/:id/files': async (call) => {
      const { stream, length } = await readFile(registry.running(call.id).channel, pathOf(call), call.signal);
      call.response.writeHead(200, {
        'content-type': 'application/octet-stream',
        ...(length === undefined ? {} : { 'content-length': length }),
      });
      await pipeline(stream, call.response);
    },
    'PUT /v1/machines/:id/files': async (call) => {
      const { channel } = registry.running(call.id);
      const { request, signal } = call;
      await writeFile(channel, pathOf(call), request, { length: declaredLength(call), signal });
      if (!request.complete) throw new ApiError('invalid_request', 'the body was cut off');
      sendEmpty(call.response);
    },
    'DELETE /v1/machines/:id/files': async (call) => {
      await removePath(registry.running(call.id).channel, pathOf(call));
      sendEmpty(call.response);
    },
    'GET /v1/machines/:id/files/list': async (call) =>
      sendJson(call.response, 200, await listDirectory(registry.running(call.id).channel, pathOf(call))),
    'GET /v1/machines/:id/files/stat': async (call) =>
      sendJson(call.response, 200, await statPath(registry.running(call.id).channel, pathOf(call))),
    'POST /v1/machines/:id/files/mkdir': async (call) => {
      await makeDirectory(registry.running(call.id).channel, pathOf(call));
      sendEmpty(call.response);
    },
  };
}
