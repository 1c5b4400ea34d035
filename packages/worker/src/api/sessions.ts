import type { ClientHttp2Stream } from 'node:http2';
import { pipeline } from 'node:stream/promises';
import { terminalSizeSchema } from '@opencomputer/protocol';
import { type GuestChannel, guestUse, listSessions, openLogs, resizeTerminal } from '../guest/index.ts';
import type { Machine } from '../machine/machine.ts';
import type { MachineRegistry } from '../machine/registry.ts';
import { beside } from './beside.ts';
import { readJson, sendJson } from './respond.ts';
import type { Routes } from './router.ts';

/** The parameters of a query that the guest agent's logs take. */
const logParameters = ['tail', 'since', 'until', 'q', 'source', 'limit'];

/** The parameters of a query that have one of these names. */
export function pick(query: URLSearchParams, names: readonly string[]): URLSearchParams {
  return new URLSearchParams([...query].filter(([name]) => names.includes(name)));
}

/** The machines to which streams are opened. */
export interface RunningMachines {
  running(id: string): Pick<Machine, 'gate' | 'channel'>;
}

/**
 * Opens a stream that outlives the call. Changes of the machine do not wait for it, they end it. It is not opened
 * during a change, and opened again when a change cuts the opening off.
 */
export function openBeside(
  machines: RunningMachines,
  id: string,
  open: (channel: GuestChannel) => Promise<ClientHttp2Stream>,
): Promise<ClientHttp2Stream> {
  return beside(
    () => machines.running(id),
    (machine) => open(machine.channel),
  );
}

/** Sessions and logs of machines. */
export function sessionRoutes(registry: MachineRegistry): Routes {
  return {
    'GET /v1/machines/:id/exec': async ({ response, id }) =>
      sendJson(response, 200, { sessions: await registry.call(id, listSessions, 'repeats') }),
    'GET /v1/machines/:id/use': async ({ response, id }) =>
      sendJson(response, 200, await registry.call(id, guestUse, 'repeats')),
    'POST /v1/machines/:id/exec/:execId/resize': async ({ request, response, id, execId }) => {
      const size = await readJson(request, terminalSizeSchema);
      await registry.call(id, (channel) => resizeTerminal(channel, execId, size), 'repeats');
      sendJson(response, 200, {});
    },
    'GET /v1/machines/:id/logs': async ({ response, url, id, signal }) => {
      const query = pick(url.searchParams, logParameters);
      const lines = await openBeside(registry, id, (channel) => openLogs(channel, query, signal));
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.flushHeaders();
      await pipeline(lines, response);
    },
  };
}
