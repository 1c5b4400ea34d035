import { Forks } from './checkpoints/forks.ts';
import { checkpointOperation } from './checkpoints/changes/checkpoint.ts';
import { deleteCheckpointOperation } from './checkpoints/changes/delete.ts';
import { restoreOperation } from './checkpoints/changes/restore.ts';
import { CheckpointService } from './checkpoints/service.ts';
import type { Services } from './api/context.ts';
import type { ServerConfig } from './config.ts';
import { AgentSessions } from './sessions/agents.ts';
import { SessionService } from './sessions/sessions.ts';
import type { Log } from './observe/log.ts';
import type { Metrics } from './observe/metrics.ts';
import { OperationEngine } from './operations/engine.ts';
import { Reconciler } from './reconcile/reconciler.ts';
import { Commands } from './sandboxes/commands.ts';
import { createOperation } from './sandboxes/changes/create.ts';
import { Expiry } from './sandboxes/expiry.ts';
import { IdleClock } from './sandboxes/idle-clock.ts';
import { Lifecycle } from './sandboxes/lifecycle.ts';
import { Machines } from './sandboxes/machines.ts';
import { Patcher } from './sandboxes/patcher.ts';
import {
  hibernateOperation,
  powerCycleOperation,
  type PowerParts,
  rebootOperation,
  wakeOperation,
} from './sandboxes/changes/power.ts';
import { Quota } from './sandboxes/quota.ts';
import { SandboxService } from './sandboxes/service.ts';
import { sandboxSubject } from './sandboxes/subject.ts';
import { stopOperation } from './sandboxes/changes/stop.ts';
import { pruneOperations } from './store/operations.ts';
import { sandboxesInState } from './store/sandboxes.ts';
import type { Store } from './store/tables.ts';
import { type Worker, WorkerRegistry } from './workers/registry.ts';

/** Operations that ended are kept for a day. */
const historyMs = 24 * 3600 * 1000;
const pruneEveryMs = 3600 * 1000;
/** How long the comparison with the worker waits for an operation that has just begun. */
const reconcileTurnMs = 1000;

export interface AssemblyOptions {
  readonly config: ServerConfig;
  readonly store: Store;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Every kind of durable operation. */
export function operationDefinitions(parts: PowerParts) {
  return [
    createOperation('create', parts),
    createOperation('fork', parts),
    stopOperation(parts),
    hibernateOperation(parts),
    wakeOperation(parts),
    rebootOperation(parts),
    powerCycleOperation(parts),
    restoreOperation(parts),
    checkpointOperation(parts),
    deleteCheckpointOperation(parts),
  ];
}

export interface Assembly {
  readonly services: Pick<
    Services,
    | 'sandboxes'
    | 'lifecycle'
    | 'checkpoints'
    | 'forks'
    | 'commands'
    | 'sessions'
    | 'agents'
    | 'machines'
    | 'idle'
    | 'workers'
  >;
  close(): Promise<void>;
}

/** Puts together what is behind the API: operations, the workers, the reconciler and the idle clock. */
export async function assemble({ config, store, log, metrics }: AssemblyOptions): Promise<Assembly> {
  const workers = new WorkerRegistry({ store, log, metrics, addresses: config.workerSockets });
  await workers.open();
  const idle = new IdleClock();
  const reconciler = new Reconciler({
    store,
    workers,
    log,
    metrics,
    idle,
    ended: (id) => idle.forget(id),
    between: (id, work) => engine.between(sandboxSubject(id), reconcileTurnMs, work),
    busy: (id) => engine.busy(sandboxSubject(id)),
  });
  const lost = (worker: Worker, id: string, reason: string): Promise<void> =>
    reconciler.machineLost(worker, id, reason).catch((error: unknown) => {
      log.error({ err: error, sandboxId: id }, 'loss of a machine not written down; it is found again');
    });
  const restarted = (worker: Worker, id: string): Promise<void> =>
    reconciler.machineRestarted(worker, id).catch((error: unknown) => {
      log.error({ err: error, sandboxId: id }, 'restart of a guest not written down; it is found again');
    });
  const parts = { store, workers, idle, patcher: new Patcher(store, workers) };
  const definitions = operationDefinitions(parts);
  const engine = new OperationEngine({ store, log, metrics, definitions, alone: true });
  const quota = new Quota(config.maxSandboxes, config.maxHibernated);
  const reconcile = (workerId: string): Promise<void> => reconciler.run(workerId);
  const lifecycle = new Lifecycle({ store, engine, idle, quota, reconcile });
  const sandboxes = new SandboxService({
    store,
    engine,
    idle,
    log,
    lifecycle,
    quota,
    workers,
    reconcile,
  });
  const checkpoints = new CheckpointService({
    store,
    engine,
    sandboxes,
    lifecycle,
    log,
    limits: config.maxCheckpoints,
  });
  const forks = new Forks({ store, sandboxes, checkpoints, quota, log });
  const machines = new Machines(workers, (id) => lifecycle.foundHibernated(id));
  const expiry = new Expiry({
    store,
    idle,
    use: async (id) => (await workers.ofSandbox(id)).use(id),
    sandboxes,
    log,
    connected: () => workers.connected().size > 0,
  });

  const recovered = await engine.recover();
  if (recovered > 0) log.info({ operations: recovered }, 'taking up operations that were cut off');
  await forks.removeLeftOver();
  await checkpoints.removeLeftOver();
  for (const row of await sandboxesInState(store, 'running'))
    idle.resume(row.id, row.timeout_s, row.last_active_at);
  const prune = (): void =>
    void pruneOperations(store, Date.now() - historyMs).catch((error: unknown) =>
      log.warn({ err: error }, 'old operations not forgotten'),
    );
  prune();
  const pruning = setInterval(prune, pruneEveryMs);
  workers.start({
    connected: ({ id }) => {
      engine.retryNow();
      void reconciler.run(id);
    },
    failed: (worker, id, reason) => void lost(worker, id, reason),
    restarted: (worker, id) => void restarted(worker, id),
  });
  reconciler.start();
  expiry.start();
  const commands = new Commands(machines);
  const sessions = new SessionService(machines, commands);
  const services = {
    sandboxes,
    lifecycle,
    checkpoints,
    forks,
    commands,
    sessions,
    agents: new AgentSessions(sessions, { sandboxes, machines, idle }, config.agentCommand),
    machines,
    idle,
    workers,
  };
  return {
    services,
    close: async () => {
      clearInterval(pruning);
      await workers.disconnect();
      await engine.close();
      await reconciler.close();
      await expiry.close();
      workers.close();
    },
  };
}
