import type { SandboxState } from '@opencomputer/protocol';
import type { Store } from './tables.ts';

/** States in which a sandbox holds, or may hold, a running machine. */
export const liveStates: readonly SandboxState[] = ['creating', 'running', 'stopping'];
/** Operations that make a sandbox live which is not. */
const startingKinds = ['wake', 'reboot', 'powerCycle', 'restore'] as const;

async function countInState(store: Store, owner: string, states: readonly SandboxState[]): Promise<number> {
  const row = await store
    .selectFrom('sandboxes')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('owner', '=', owner)
    .where('state', 'in', states)
    .executeTakeFirstOrThrow();
  return row.count;
}

/** Sandboxes of an owner that an unfinished operation is about to bring out of the given states. */
async function countLeaving(
  store: Store,
  owner: string,
  kinds: readonly string[],
  states: readonly SandboxState[],
): Promise<number> {
  const row = await store
    .selectFrom('operations')
    .innerJoin('sandboxes', 'sandboxes.id', 'operations.subject_id')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('operations.subject_kind', '=', 'sandbox')
    .where('operations.state', 'in', ['running', 'undoing'])
    .where('operations.kind', 'in', kinds)
    .where('sandboxes.owner', '=', owner)
    .where('sandboxes.state', 'in', states)
    .executeTakeFirstOrThrow();
  return row.count;
}

/** Sandboxes of an owner that are live or about to be. */
export async function countLive(store: Store, owner: string): Promise<number> {
  const live = await countInState(store, owner, liveStates);
  return live + (await countLeaving(store, owner, startingKinds, ['hibernated', 'error']));
}

/** Sandboxes of an owner that are hibernated or about to be. */
export async function countHibernated(store: Store, owner: string): Promise<number> {
  const hibernated = await countInState(store, owner, ['hibernated']);
  return hibernated + (await countLeaving(store, owner, ['hibernate'], ['running']));
}
