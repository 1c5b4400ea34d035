import { machineSpecSchema } from '@opencomputer/protocol';
import { guestStats } from '../guest/index.ts';
import type { MachineRegistry } from '../machine/registry.ts';
import { readJson, sendEmpty, sendJson } from './respond.ts';
import type { Routes } from './router.ts';

/** Machines: create, read, delete. */
export function machineRoutes(registry: MachineRegistry): Routes {
  return {
    'GET /v1/machines': ({ response }) => sendJson(response, 200, { machines: registry.list() }),
    'GET /v1/machines/:id': ({ response, id }) => sendJson(response, 200, registry.info(id)),
    'PUT /v1/machines/:id': async ({ request, response, id }) =>
      sendJson(response, 200, await registry.create(id, await readJson(request, machineSpecSchema))),
    'DELETE /v1/machines/:id': async ({ response, id }) => {
      await registry.delete(id);
      sendEmpty(response);
    },
    'GET /v1/machines/:id/stats': async ({ response, id }) =>
      sendJson(response, 200, await guestStats(registry.running(id).channel)),
  };
}
