import {
  ApiError,
  type Hibernated,
  pageQuerySchema,
  type SandboxEvent,
  wakeSchema,
} from '@opencomputer/protocol';
import { listEvents } from '../store/events.ts';
import { callerOf, type Handler } from './context.ts';
import { readJson, readQuery, sandboxId } from './input.ts';
import { paddedJson, slowMs } from '../http/padding.ts';
import { presentWithToken } from './present.ts';

const byClient = { actor: 'client' } as const;

export const hibernateSandbox: Handler<'installation' | 'lifecycle' | 'log' | 'sandboxes'> = async (
  c,
  services,
) => {
  const { sandboxes, lifecycle, installation, log } = services;
  const { id } = await sandboxes.get(callerOf(c).owner, sandboxId(c));
  const answer = lifecycle.hibernate(id, byClient).then((row): Hibernated => ({
    sandboxID: id,
    sandboxId: id,
    status: 'hibernated',
    sizeBytes: row.hibernation_bytes,
    // It may have been woken again in the same moment.
    hibernatedAt: new Date(row.hibernated_at ?? Date.now()).toISOString(),
    template: row.template,
    region: installation.region,
  }));
  return paddedJson(c, answer, slowMs, log);
};

export const wakeSandbox: Handler<
  'idle' | 'installation' | 'lifecycle' | 'log' | 'publicUrl' | 'sandboxes' | 'tokens'
> = async (c, services) => {
  const { sandboxes, lifecycle, log } = services;
  const { owner } = callerOf(c);
  const { timeout } = await readJson(c, wakeSchema);
  const { id } = await sandboxes.get(owner, sandboxId(c));
  const wake = async () => {
    await lifecycle.wake(id, byClient);
    if (timeout !== undefined) await sandboxes.setTimeout(owner, id, timeout);
    return presentWithToken(c, await sandboxes.get(owner, id), services);
  };
  return paddedJson(c, wake(), slowMs, log);
};

export const rebootSandbox: Handler<'lifecycle' | 'sandboxes'> = async (c, { sandboxes, lifecycle }) => {
  const { id } = await sandboxes.get(callerOf(c).owner, sandboxId(c));
  await lifecycle.reboot(id, byClient);
  return c.body(null, 204);
};

export const powerCycleSandbox: Handler<'lifecycle' | 'sandboxes'> = async (c, { sandboxes, lifecycle }) => {
  const { id } = await sandboxes.get(callerOf(c).owner, sandboxId(c));
  await lifecycle.powerCycle(id, byClient);
  return c.body(null, 204);
};

export const events: Handler<'sandboxes' | 'store'> = async (c, { sandboxes, store }) => {
  const { limit, cursor } = readQuery(c, pageQuerySchema);
  const { id } = await sandboxes.get(callerOf(c).owner, sandboxId(c));
  if (cursor !== undefined && !/^\d{1,15}$/.test(cursor))
    throw new ApiError('invalid_request', 'cursor: not one that this server gave out', {
      hint: 'Give the X-Next-Cursor header of the page before as it is, or none to begin.',
    });
  const rows = await listEvents(store, id, Number(cursor ?? 0), limit + 1);
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  if (rows.length > page.length && last) c.header('X-Next-Cursor', String(last.id));
  return c.json(
    page.map(({ id: eventId, time, actor, kind, reason }): SandboxEvent => ({
      id: eventId,
      time: new Date(time).toISOString(),
      actor,
      kind,
      ...(reason === null ? {} : { reason }),
    })),
  );
};
