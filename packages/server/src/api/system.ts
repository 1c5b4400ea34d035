import { sandboxStates } from '@opencomputer/protocol';
import { countByState } from '../store/sandboxes.ts';
import { probeWrite } from '../store/settings.ts';
import type { Store } from '../store/tables.ts';
import type { Handler } from './context.ts';

/** A probe writes to the disk, so that its answer is used for a while. */
const probeTrustMs = 2000;
const probes = new WeakMap<
  Store,
  { readonly until: number; readonly failure: Promise<string | undefined> }
>();

function databaseFailure(store: Store): Promise<string | undefined> {
  const known = probes.get(store);
  if (known !== undefined && known.until > performance.now()) return known.failure;
  const failure = probeWrite(store).then(
    () => undefined,
    (error: Error) => error.message,
  );
  probes.set(store, { until: performance.now() + probeTrustMs, failure });
  return failure;
}

export const health: Handler = async (c) => c.json({ status: 'ok' });

export const alive: Handler = async (c) => c.json({ status: 'alive' });

export const readiness: Handler<'store' | 'workers'> = async (c, { store, workers }) => {
  const failure = await databaseFailure(store);
  const worker = workers.status().some(({ connected }) => connected);
  const reasons = [
    ...(failure === undefined ? [] : [`the database takes no writes: ${failure}`]),
    ...(worker ? [] : ['the worker is not connected']),
  ];
  if (reasons.length === 0) return c.json({ status: 'ready', database: true, worker: true });
  const database = failure === undefined;
  return c.json({ status: 'not_ready', database, worker, reason: reasons.join('; ') }, 503);
};

export const metrics: Handler<'metrics' | 'store' | 'workers'> = async (
  c,
  { store, metrics: all, workers },
) => {
  const counts = await countByState(store);
  for (const state of sandboxStates) all.sandboxes.set({ state }, counts.get(state) ?? 0);
  all.workerReachable.reset();
  for (const { name, connected } of workers.status())
    all.workerReachable.set({ worker: name }, connected ? 1 : 0);
  c.header('content-type', all.registry.contentType);
  return c.body(await all.registry.metrics());
};
