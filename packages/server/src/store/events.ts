import type { EventRow, EventTable, Store } from './tables.ts';

export async function addEvent(
  store: Store,
  event: Pick<EventTable, 'sandbox_id' | 'kind' | 'actor'> & { reason?: string | undefined },
): Promise<void> {
  const { reason, ...rest } = event;
  await store
    .insertInto('events')
    .values({ ...rest, reason: reason ?? null, time: Date.now() })
    .execute();
}

/** What happened to a sandbox after an event, oldest first. */
export function listEvents(
  store: Store,
  sandboxId: string,
  after: number,
  limit: number,
): Promise<EventRow[]> {
  return store
    .selectFrom('events')
    .selectAll()
    .where('sandbox_id', '=', sandboxId)
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit)
    .execute();
}
