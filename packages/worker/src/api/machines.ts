import { machineSpecSchema, rebootRequestSchema, restoreRequestSchema } from '@opencomputer/protocol';
import { guestStats } from '../guest/index.ts';
import type { Changes } from '../machine/changes/changes.ts';
import type { MachineRegistry } from '../machine/registry.ts';
import { readJson, sendEmpty, sendJson } from './respond.ts';
import type { Routes } from './router.ts';

/** Machines and their changes. */
export function machineRoutes(registry: MachineRegistry, changes: Changes): Routes {
  return {
    'GET /v1/machines': ({ response }) => sendJson(response, 200, { machines: registry.list() }),
    'GET /v1/machines/:id': ({ response, id }) => sendJson(response, 200, registry.info(id)),
    'PUT /v1/machines/:id': async ({ request, response, id }) =>
      sendJson(response, 200, await changes.create(id, await readJson(request, machineSpecSchema))),
    'DELETE /v1/machines/:id': async ({ response, id }) => {
      await changes.delete(id);
      sendEmpty(response);
    },
    'POST /v1/machines/:id/hibernate': async ({ response, id }) =>
      sendJson(response, 200, await changes.hibernate(id)),
    'POST /v1/machines/:id/wake': async ({ response, id }) => sendJson(response, 200, await changes.wake(id)),
    'POST /v1/machines/:id/reboot': async ({ request, response, id }) => {
      const { hard } = await readJson(request, rebootRequestSchema);
      sendJson(response, 200, await changes.reboot(id, hard));
    },
    'POST /v1/machines/:id/restore': async ({ request, response, id }) => {
      const { snapshot } = await readJson(request, restoreRequestSchema);
      sendJson(response, 200, await changes.restore(id, snapshot));
    },
    'GET /v1/machines/:id/stats': async ({ response, id }) =>
      sendJson(response, 200, await registry.call(id, guestStats, 'repeats')),
  };
}
