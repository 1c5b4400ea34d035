import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely';
import { ApiError, type SandboxAction, type SandboxState, transitions } from '@opencomputer/protocol';
import type { EventTable, SandboxRow, Store, Tables } from './tables.ts';

/** States in which a sandbox holds, or may hold, a machine; they count against the quota. */
const liveStates: readonly SandboxState[] = ['creating', 'running', 'stopping'];

export function findSandbox(store: Store, id: string): Promise<SandboxRow | undefined> {
  return store.selectFrom('sandboxes').selectAll().where('id', '=', id).executeTakeFirst();
}

export function findSandboxes(store: Store, ids: readonly string[]): Promise<SandboxRow[]> {
  return store.selectFrom('sandboxes').selectAll().where('id', 'in', ids).execute();
}

export function sandboxesInState(store: Store, state: SandboxState): Promise<SandboxRow[]> {
  return store.selectFrom('sandboxes').selectAll().where('state', '=', state).execute();
}

export async function countLive(store: Store, owner: string): Promise<number> {
  const row = await store
    .selectFrom('sandboxes')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('owner', '=', owner)
    .where('state', 'in', liveStates)
    .executeTakeFirstOrThrow();
  return row.count;
}

export async function countByState(store: Store): Promise<Map<SandboxState, number>> {
  const rows = await store
    .selectFrom('sandboxes')
    .select(['state', (eb) => eb.fn.countAll<number>().as('count')])
    .groupBy('state')
    .execute();
  return new Map(rows.map((row) => [row.state, row.count]));
}

export interface SandboxChange {
  readonly action: SandboxAction;
  readonly actor: EventTable['actor'];
  readonly reason?: string | undefined;
  readonly values?: Partial<Pick<SandboxRow, 'started_at' | 'worker_id' | 'emulated' | 'stopped_at'>>;
}

/**
 * Moves a sandbox by the table of states and writes the event; call it in a transaction.
 * @returns The row as it is afterwards; unchanged when the action had already happened.
 * @throws ApiError with the code of the table when the state does not allow the action, `sandbox_not_found`.
 */
export async function changeSandbox(store: Store, id: string, change: SandboxChange): Promise<SandboxRow> {
  const row = await findSandbox(store, id);
  if (row === undefined) throw new ApiError('sandbox_not_found', `sandbox ${id} not found`);
  const transition = transitions[row.state][change.action];
  if ('refuse' in transition)
    throw new ApiError(transition.refuse, `sandbox ${id} is ${row.state}: ${transition.because}`);
  if ('already' in transition) return row;
  const now = Date.now();
  await addEvent(store, { sandbox_id: id, kind: change.action, actor: change.actor, reason: change.reason });
  return store
    .updateTable('sandboxes')
    .set({
      state: transition.next,
      ...change.values,
      ...(change.reason === undefined ? {} : { reason: change.reason }),
      ...(transition.next === 'stopped' || transition.next === 'error' ? { stopped_at: now } : {}),
    })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

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

export interface SandboxFilter {
  readonly owner: string;
  readonly states: readonly SandboxState[];
  readonly metadata: readonly (readonly [key: string, value: string])[];
  /** The last sandbox of the page before. */
  readonly after?: { readonly createdAt: number; readonly id: string } | undefined;
  readonly limit: number;
}

function hasMetadata(
  eb: ExpressionBuilder<Tables, 'sandboxes'>,
  [key, value]: readonly [string, string],
): Expression<SqlBool> {
  return eb.exists(
    sql`(select 1 from json_each(${eb.ref('sandboxes.metadata')}) as pair where pair.key = ${key} and pair.value = ${value})`,
  );
}

/** Sandboxes of one owner, newest first. */
export function listSandboxes(store: Store, filter: SandboxFilter): Promise<SandboxRow[]> {
  let query = store
    .selectFrom('sandboxes')
    .selectAll()
    .where('owner', '=', filter.owner)
    .where('state', 'in', filter.states);
  for (const pair of filter.metadata) query = query.where((eb) => hasMetadata(eb, pair));
  const { after } = filter;
  if (after !== undefined)
    query = query.where((eb) =>
      eb.or([
        eb('created_at', '<', after.createdAt),
        eb.and([eb('created_at', '=', after.createdAt), eb('id', '<', after.id)]),
      ]),
    );
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(filter.limit).execute();
}

/** Writes when sandboxes were last used. */
export async function saveActivity(
  store: Store,
  activity: readonly (readonly [id: string, at: number])[],
): Promise<void> {
  await store.transaction().execute(async (tx) => {
    for (const [id, at] of activity)
      await tx.updateTable('sandboxes').set({ last_active_at: at }).where('id', '=', id).execute();
  });
}
