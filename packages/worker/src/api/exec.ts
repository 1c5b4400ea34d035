import { guestExecRequestSchema } from '@opencomputer/protocol';
import { z } from 'zod';
import { commandResult, signalCommand, startCommand } from '../guest/index.ts';
import type { MachineRegistry } from '../machine/registry.ts';
import { queryMilliseconds, readJson, sendJson } from './respond.ts';
import type { Routes } from './router.ts';

const signalSchema = z.object({ signal: z.number().int().min(1).max(64) });

/** Commands in machines. */
export function execRoutes(registry: MachineRegistry): Routes {
  return {
    'POST /v1/machines/:id/exec': async ({ request, response, id }) => {
      const { channel } = registry.running(id);
      sendJson(response, 200, await startCommand(channel, await readJson(request, guestExecRequestSchema)));
    },
    'GET /v1/machines/:id/exec/:execId': async ({ response, url, id, execId }) => {
      const wait = queryMilliseconds(url, 'waitMs');
      sendJson(response, 200, await commandResult(registry.running(id).channel, execId, wait));
    },
    'POST /v1/machines/:id/exec/:execId/signal': async ({ request, response, id, execId }) => {
      const { signal } = await readJson(request, signalSchema);
      await signalCommand(registry.running(id).channel, execId, signal);
      sendJson(response, 200, {});
    },
  };
}
