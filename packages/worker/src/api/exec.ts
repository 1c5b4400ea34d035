import {
  ApiError,
  type GuestExecRequest,
  guestExecRequestSchema,
  type GuestExecResult,
} from '@opencomputer/protocol';
import { z } from 'zod';
import { commandResult, type GuestChannel, signalCommand, startCommand } from '../guest/index.ts';
import type { Machine } from '../machine/machine.ts';
import type { MachineRegistry } from '../machine/registry.ts';
import { beside } from './beside.ts';
import { queryMilliseconds, readJson, sendJson, tellsArrival } from './respond.ts';
import type { Routes } from './router.ts';

const signalSchema = z.object({ signal: z.number().int().min(1).max(64) });

/**
 * Waits for a command. A snapshot of the machine ends the connection to the guest during the wait. The command itself
 * goes on, so the wait goes on too, once the guest can be reached again.
 */
function waitThroughChanges(
  registry: MachineRegistry,
  id: string,
  wait: (channel: GuestChannel) => Promise<GuestExecResult>,
  again: (channel: GuestChannel) => Promise<GuestExecResult>,
): Promise<GuestExecResult> {
  let first: Machine | undefined;
  return beside(
    () => registry.running(id),
    (machine) => {
      const attempt = first === undefined ? wait : again;
      first ??= machine;
      if (!machine.continues(first))
        throw new ApiError('guest_failed', 'the sandbox was started anew while the command ran', {
          hint: 'It was cut off: look at what it has done, then run it again.',
        });
      return attempt(machine.channel);
    },
  );
}

/**
 * Starts a command that was sent before, unless it may have run already: it is started only if the guest's memory and
 * its guest agent are still those of the moment when it was first sent, and do not know it.
 * @param sentAt that moment, in Unix milliseconds
 * @param arrives called for each piece of the result that arrives
 * @throws ApiError `exec_not_found`
 */
export async function startAgain(
  machine: Pick<Machine, 'channel' | 'info'>,
  command: GuestExecRequest,
  sentAt: number,
  arrives?: () => void,
): Promise<GuestExecResult> {
  const id = command.id ?? '';
  try {
    return await commandResult(machine.channel, id, command.waitMs ?? 0, arrives);
  } catch (error) {
    const unknown = error instanceof ApiError && error.code === 'exec_not_found';
    const since = Math.max(Date.parse(machine.info().startedAt), Date.now() - machine.channel.agentUptimeMs);
    if (!unknown || since >= sentAt) throw error;
    // If the first request arrives late after all, the guest agent refuses it: it takes an id once.
    return startCommand(machine.channel, command, arrives);
  }
}

/** Commands in machines. */
export function execRoutes(registry: MachineRegistry): Routes {
  return {
    'POST /v1/machines/:id/exec': async ({ request, response, url, id, signal }) => {
      const command = await readJson(request, guestExecRequestSchema);
      const sentAt = queryMilliseconds(url, 'sentAt');
      const arrives = tellsArrival(response, signal);
      if (sentAt > 0) {
        const started = await beside(
          () => registry.running(id),
          (machine) => startAgain(machine, command, sentAt, arrives),
        );
        return sendJson(response, 200, started);
      }
      const start = (channel: GuestChannel): Promise<GuestExecResult> =>
        startCommand(channel, command, arrives);
      // Only the guest knows whether the command had begun when the connection ended.
      const again = async (channel: GuestChannel): Promise<GuestExecResult> => {
        if (command.id === undefined)
          throw new ApiError('guest_failed', 'the machine was saved while the command began');
        try {
          return await commandResult(channel, command.id, command.waitMs ?? 0, arrives);
        } catch (error) {
          if (error instanceof ApiError && error.code === 'exec_not_found') return start(channel);
          throw error;
        }
      };
      sendJson(response, 200, await waitThroughChanges(registry, id, start, again));
    },
    'GET /v1/machines/:id/exec/:execId': async ({ response, url, id, execId, signal }) => {
      const waitMs = queryMilliseconds(url, 'waitMs');
      const arrives = tellsArrival(response, signal);
      const wait = (channel: GuestChannel): Promise<GuestExecResult> =>
        commandResult(channel, execId, waitMs, arrives);
      sendJson(response, 200, await waitThroughChanges(registry, id, wait, wait));
    },
    'POST /v1/machines/:id/exec/:execId/signal': async ({ request, response, id, execId }) => {
      const { signal } = await readJson(request, signalSchema);
      await registry.call(id, (channel) => signalCommand(channel, execId, signal));
      sendJson(response, 200, {});
    },
  };
}
