import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { operationDefinitions } from '../assembly.ts';
import { OperationEngine } from '../operations/engine.ts';
import { SimulatedCrash } from '../operations/runner.ts';
import { IdleClock } from '../sandboxes/idle-clock.ts';
import { Lifecycle } from '../sandboxes/lifecycle.ts';
import { Patcher } from '../sandboxes/patcher.ts';
import { Quota } from '../sandboxes/quota.ts';
import { SandboxService } from '../sandboxes/service.ts';
import { unfinishedOperations } from '../store/operations.ts';
import { newStore } from '../testing/database.ts';
import { eventually, quietLog, temporaryDirectory } from '../testing/harness.ts';
import { SimulatedWorker } from '../testing/simulated-worker.ts';
import { WorkerRegistry } from './registry.ts';

const request = {
  ...{ owner: 'o', template: 'base', timeout: 300, envs: {}, metadata: {} },
  ...{ cpuCount: 1, memoryMB: 1024, diskMB: 20480 },
};

test.each(['create:begun', 'create:machine:ran'])(
  'a creation that a crash at %s cut off is undone on the worker that was chosen, and on no other',
  async (crashAt) => {
    using directory = temporaryDirectory();
    const store = await newStore();
    const simulated = ['a', 'b'].map((id) => new SimulatedWorker(join(directory.path, `${id}.sock`), id));
    for (const worker of simulated) await worker.listen();
    const addresses = simulated.map(({ socketPath }) => socketPath);
    const workers = new WorkerRegistry({ store, log: quietLog, addresses });
    const nothing = (): void => undefined;
    workers.start({ connected: nothing, failed: nothing, restarted: nothing });
    await eventually('both connected', () => workers.connected().size === 2);
    onTestFinished(async () => {
      await workers.disconnect();
      workers.close();
      for (const worker of simulated) await worker.kill();
      await store.destroy();
    });

    const idle = new IdleClock();
    const definitions = operationDefinitions({ store, workers, idle, patcher: new Patcher(store, workers) });
    const options = { store, log: quietLog, definitions, pace: { first: 1, longest: 5 }, alone: true };
    let crash: string | undefined;
    const crashPoint = (point: string): void => {
      if (point === crash) throw new SimulatedCrash(point);
    };
    const engine = new OperationEngine({ ...options, crashPoint });
    const quota = new Quota(100, 100);
    const parts = { store, engine, idle, quota, workers, log: quietLog, reconcile: () => Promise.resolve() };
    const service = new SandboxService({ ...parts, lifecycle: new Lifecycle(parts) });
    const never = new AbortController().signal;
    await service.create(request, never);
    crash = crashAt;
    await expect(service.create(request, never)).rejects.toBeInstanceOf(SimulatedCrash);
    await engine.close();

    const [left] = await unfinishedOperations(store);
    const row = await service.get('o', left?.subject_id ?? '');
    const next = new OperationEngine(options);
    onTestFinished(() => next.close());
    await next.recover();
    await eventually('undone', async () => (await unfinishedOperations(store)).length === 0);
    for (const worker of simulated) {
      const deletions = worker.calls.filter((call) => call === 'DELETE machine').length;
      expect(deletions).toBe(worker.id === row.worker_id ? 1 : 0);
      expect(worker.machines.has(row.id)).toBe(false);
    }
    expect(await service.get('o', row.id)).toMatchObject({ state: 'stopped', worker_id: row.worker_id });
  },
);
