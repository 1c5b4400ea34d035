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
import { WorkerClient } from './workers/client.ts';
import { WorkerLink } from './workers/link.ts';

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
export function operationDefinitions(parts: PowerParts, workerId: () => Promise<string>) {
  return [
    createOperation('create', parts, workerId),
    createOperation('fork', parts, workerId),
    stopOperation(parts.worker),
    hibernateOperation(parts),
    wakeOperation(parts),
    rebootOperation(parts),
    powerCycleOperation(parts),
    restoreOperation(parts),
    checkpointOperation(parts.worker),
    deleteCheckpointOperation(parts.worker),
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
    | 'workerConnected'
  >;
  close(): Promise<void>;
}

/** Puts together what is behind the API: operations, the worker, the reconciler and the idle clock. */
export async function assemble({ config, store, log, metrics }: AssemblyOptions): Promise<Assembly> {
  const worker = new WorkerClient(config.workerSocket, metrics);
  const idle = new IdleClock();
  const reconciler = new Reconciler({
    store,
    worker,
    log,
    metrics,
    idle,
    ended: (id) => idle.forget(id),
    between: (id, work) => engine.between(sandboxSubject(id), reconcileTurnMs, work),
    busy: (id) => engine.busy(sandboxSubject(id)),
  });
  const link = new WorkerLink(
    worker,
    {
      connected: () => {
        engine.retryNow();
        void reconciler.run();
      },
      disconnected: () => log.warn('worker disconnected'),
      failed: (id, reason) => void lost(id, reason),
      restarted: (id) => void restarted(id),
    },
    log,
  );
  const lost = (id: string, reason: string): Promise<void> =>
    reconciler.machineLost(id, reason).catch((error: unknown) => {
      log.error({ err: error, sandboxId: id }, 'loss of a machine not written down; it is found again');
    });
  const restarted = (id: string): Promise<void> =>
    reconciler.machineRestarted(id).catch((error: unknown) => {
      log.error({ err: error, sandboxId: id }, 'restart of a guest not written down; it is found again');
    });
  const parts = { store, worker, idle, patcher: new Patcher(store, worker) };
  const definitions = operationDefinitions(parts, async () => (link.info ?? (await worker.info())).workerId);
  const engine = new OperationEngine({ store, log, metrics, definitions, alone: true });
  const quota = new Quota(config.maxSandboxes, config.maxHibernated);
  const reconcile = (): Promise<void> => reconciler.run();
  const lifecycle = new Lifecycle({ store, engine, idle, quota, reconcile });
  const sandboxes = new SandboxService({
    store,
    engine,
    idle,
    log,
    lifecycle,
    quota,
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
  const machines = new Machines(worker, (id) => lifecycle.foundHibernated(id));
  const expiry = new Expiry({ store, idle, worker, sandboxes, log, connected: () => link.connected });

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
  link.start();
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
    workerConnected: () => link.connected,
  };
  return {
    services,
    close: async () => {
      clearInterval(pruning);
      await link.close();
      await engine.close();
      await reconciler.close();
      await expiry.close();
      worker.close();
    },
  };
}
