import {
  ApiError,
  type SandboxAction,
  sandboxCondition,
  type SandboxCondition,
  type SandboxState,
  type Transition,
  transitions,
} from '@opencomputer/protocol';
import { addEvent } from './events.ts';
import { textAt } from './json.ts';
import { forgetOperations } from './operations.ts';
import type { EventTable, NewSandboxRow, SandboxRow, Store } from './tables.ts';
import { transact } from './transaction.ts';

export function findSandbox(store: Store, id: string): Promise<SandboxRow | undefined> {
  return store.selectFrom('sandboxes').selectAll().where('id', '=', id).executeTakeFirst();
}

export function findSandboxes(store: Store, ids: readonly string[]): Promise<SandboxRow[]> {
  return store.selectFrom('sandboxes').selectAll().where('id', 'in', ids).execute();
}

/** Sandboxes in a state. @param workerId only those of this worker */
export function sandboxesInState(
  store: Store,
  state: SandboxState,
  workerId?: string,
): Promise<SandboxRow[]> {
  const query = store.selectFrom('sandboxes').selectAll().where('state', '=', state);
  return (workerId === undefined ? query : query.where('worker_id', '=', workerId)).execute();
}

export async function countByState(store: Store): Promise<Map<SandboxState, number>> {
  const rows = await store
    .selectFrom('sandboxes')
    .select(['state', (eb) => eb.fn.countAll<number>().as('count')])
    .groupBy('state')
    .execute();
  return new Map(rows.map((row) => [row.state, row.count]));
}

export async function insertSandbox(store: Store, row: NewSandboxRow): Promise<void> {
  await store.insertInto('sandboxes').values(row).execute();
}

/** Forgets a sandbox, with all that refers to it; call it in a transaction. */
export async function deleteSandbox(store: Store, id: string): Promise<void> {
  await forgetOperations(store, { kind: 'sandbox', id });
  await store.deleteFrom('sandboxes').where('id', '=', id).execute();
}

/** Sandboxes that were forked in one call, not all of whose forks stood, and that have not been ended. */
export async function forksCutOff(store: Store): Promise<string[]> {
  const rows = await store
    .selectFrom('sandboxes')
    .select('id')
    .where('fork_group', 'is not', null)
    .where('state', 'not in', ['stopping', 'stopped'])
    .execute();
  return rows.map(({ id }) => id);
}

/** Notes that all forks of one call stand. */
export async function endForkGroup(store: Store, forkGroup: string): Promise<void> {
  await store
    .updateTable('sandboxes')
    .set({ fork_group: null })
    .where('fork_group', '=', forkGroup)
    .execute();
}

type Changeable =
  | 'started_at'
  | 'emulated'
  | 'hibernation_bytes'
  | 'started_from'
  | 'cold_boot_reason'
  | 'base_checkpoint_id';

/** Changes what the row of a sandbox says beside its state. */
export async function updateSandbox(
  store: Store,
  id: string,
  values: Partial<Pick<SandboxRow, Changeable | 'timeout_s' | 'last_active_at'>>,
): Promise<void> {
  await store.updateTable('sandboxes').set(values).where('id', '=', id).execute();
}

export interface SandboxChange {
  readonly action: SandboxAction;
  readonly actor: EventTable['actor'];
  readonly reason?: string | undefined;
  readonly values?: Partial<Pick<SandboxRow, Changeable>>;
}

/**
 * Moves a sandbox by the table of states and writes the event; call it in a transaction.
 * @returns The row as it is afterwards; unchanged when the action had already happened.
 * @throws ApiError with the code of the table when the state does not allow the action, `sandbox_not_found`.
 */
export async function changeSandbox(store: Store, id: string, change: SandboxChange): Promise<SandboxRow> {
  const { action, actor, reason, values } = change;
  const row = await findSandbox(store, id);
  if (row === undefined) throw new ApiError('sandbox_not_found', `sandbox ${id} not found`);
  const transition = transitionOf(row, action);
  if ('already' in transition) return row;
  const refused = refusal(row, action);
  if (refused !== undefined) throw refused;
  const next = 'next' in transition ? transition.next : row.state;
  await addEvent(store, { sandbox_id: id, kind: action, actor, reason });
  return store
    .updateTable('sandboxes')
    .set({ state: next, ...consequences(next, reason), ...values })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** What a new state says about the times and the reason. */
function consequences(next: SandboxState, reason: string | undefined): Partial<SandboxRow> {
  const given = reason === undefined ? {} : { reason };
  if (next === 'running')
    return { reason: null, hibernated_at: null, stopped_at: null, last_active_at: Date.now() };
  if (next === 'hibernated') return { reason: reason ?? null, hibernated_at: Date.now() };
  if (next === 'stopped' || next === 'error')
    return { ...given, hibernated_at: null, stopped_at: Date.now() };
  return given;
}

/** The column of the table of states that a sandbox is in. */
export function conditionOf(row: Pick<SandboxRow, 'state' | 'started_at'>): SandboxCondition {
  return sandboxCondition(row.state, row.started_at !== null);
}

function transitionOf(row: SandboxRow, action: SandboxAction): Transition {
  return transitions[conditionOf(row)][action];
}

/** Why the state of a sandbox does not allow an action now; undefined when it does. */
export function refusal(row: SandboxRow, action: SandboxAction): ApiError | undefined {
  const transition = transitionOf(row, action);
  if ('wakeFirst' in transition) return hibernatedError(row.id);
  if ('next' in transition || 'already' in transition) return undefined;
  if (transition.refuse === 'sandbox_stopped') return endedError(row);
  return new ApiError(transition.refuse, `sandbox ${row.id}: ${transition.because}`);
}

function endedError(row: SandboxRow): ApiError {
  const status = row.state === 'error' ? 'error' : 'stopped';
  const because = row.reason === null ? '' : ` (${row.reason})`;
  return new ApiError('sandbox_stopped', `sandbox ${row.id} is ${status}${because}`);
}

/** The error that the worker, too, gives for a machine that has to be woken first. */
export function hibernatedError(id: string): ApiError {
  return new ApiError('hibernated', `sandbox ${id} is hibernated`);
}

/** True for the error of an operation that a wake makes possible. */
export function isHibernated(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'hibernated';
}

export interface SandboxFilter {
  readonly owner: string;
  readonly states: readonly SandboxState[];
  readonly metadata: readonly (readonly [key: string, value: string])[];
  /** The last sandbox of the page before. */
  readonly after?: { readonly createdAt: number; readonly id: string } | undefined;
  readonly limit: number;
}

/** Sandboxes of one owner, newest first. */
export function listSandboxes(store: Store, filter: SandboxFilter): Promise<SandboxRow[]> {
  let query = store
    .selectFrom('sandboxes')
    .selectAll()
    .where('owner', '=', filter.owner)
    .where('state', 'in', filter.states);
  for (const [key, value] of filter.metadata)
    query = query.where((eb) => eb(textAt(store, eb.ref('metadata'), key), '=', value));
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
  await transact(store, async (tx) => {
    for (const [id, at] of activity)
      await tx.updateTable('sandboxes').set({ last_active_at: at }).where('id', '=', id).execute();
  });
}
