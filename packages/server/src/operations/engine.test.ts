import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ApiError, type CreateCheckpoint } from '@opencomputer/protocol';
import { Forks } from '../checkpoints/forks.ts';
import { addPatch } from '../checkpoints/patches.ts';
import { CheckpointService } from '../checkpoints/service.ts';
import { createMetrics } from '../observe/metrics.ts';
import { operationDefinitions } from '../assembly.ts';
import { CreationAbandoned } from '../sandboxes/abandoned.ts';
import { IdleClock } from '../sandboxes/idle-clock.ts';
import { Lifecycle } from '../sandboxes/lifecycle.ts';
import { Patcher } from '../sandboxes/patcher.ts';
import { Quota } from '../sandboxes/quota.ts';
import { SandboxService } from '../sandboxes/service.ts';
import { sandboxSubject } from '../sandboxes/subject.ts';
import { Reconciler } from '../reconcile/reconciler.ts';
import { namelessCheckpoints } from '../store/checkpoints.ts';
import { unfinishedOperations } from '../store/operations.ts';
import { findSandbox } from '../store/sandboxes.ts';
import type { Store } from '../store/tables.ts';
import { newStore, onPostgres } from '../testing/database.ts';
import { eventually, quietLog, temporaryDirectory } from '../testing/harness.ts';
import { SimulatedWorker } from '../testing/simulated-worker.ts';
import { WorkerRegistry } from '../workers/registry.ts';
import { canBeGivenUp } from './definition.ts';
import { OperationEngine } from './engine.ts';
import { SimulatedCrash } from './runner.ts';

const request = {
  owner: 'o',
  template: 'base',
  timeout: 300,
  envs: { A: '1' },
  metadata: {},
  cpuCount: 1,
  memoryMB: 1024,
  diskMB: 20480,
};
const pace = { first: 1, longest: 5 };

interface Services {
  readonly service: SandboxService;
  readonly lifecycle: Lifecycle;
  readonly checkpoints: CheckpointService;
  readonly forks: Forks;
}

const byClient = { actor: 'client' } as const;
const named = (name: string): CreateCheckpoint => ({
  name,
  kind: 'full',
  promoteToFull: false,
  requireQuiesced: false,
});
const fork = { timeout: 300, envs: {}, metadata: {} };

class World {
  readonly store: Store;
  readonly worker: SimulatedWorker;
  readonly workers: WorkerRegistry;
  readonly idle = new IdleClock();
  /** Points that were passed, and the one at which to crash. */
  readonly points: string[] = [];
  crashAt: string | undefined;
  watching = true;
  readonly #removeFiles: () => void;
  #ended: Promise<void> | undefined;
  engine: OperationEngine;

  /** Ends it; once is enough. */
  end(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    await this.engine.close();
    await this.workers.disconnect();
    this.workers.close();
    await this.worker.kill();
    await this.store.destroy();
    this.#removeFiles();
  }

  constructor(store: Store, socket: string, removeFiles: () => void) {
    this.store = store;
    this.#removeFiles = removeFiles;
    this.worker = new SimulatedWorker(socket);
    this.workers = new WorkerRegistry({ store, log: quietLog, addresses: [socket] });
    this.engine = this.newEngine();
  }

  get definitions() {
    const { store, workers, idle } = this;
    return operationDefinitions({ store, workers, idle, patcher: new Patcher(store, workers) });
  }

  /** @param alone Whether no other engine is on the database. */
  newEngine(alone = true): OperationEngine {
    // What has crashed does nothing more.
    let dead = false;
    const crashPoint = (point: string): void => {
      if (dead) throw new SimulatedCrash(point);
      if (!this.watching) return;
      this.points.push(point);
      if (point !== this.crashAt) return;
      this.crashAt = undefined;
      dead = true;
      throw new SimulatedCrash(point);
    };
    const { store, definitions } = this;
    return new OperationEngine({
      store,
      log: quietLog,
      metrics: createMetrics(),
      definitions,
      crashPoint,
      pace,
      alone,
    });
  }

  services(stopWaitMs?: number): Services {
    const { store, engine, workers } = this;
    const idle = new IdleClock();
    const quota = new Quota(100, 100);
    const reconcile = (): Promise<void> => Promise.resolve();
    const lifecycle = new Lifecycle({ store, engine, idle, quota, reconcile });
    const parts = { store, engine, idle, log: quietLog, quota, lifecycle, workers };
    const options = { ...parts, reconcile, ...(stopWaitMs === undefined ? {} : { stopWaitMs }) };
    const service = new SandboxService(options);
    const checkpoints = new CheckpointService({ ...parts, sandboxes: service });
    const forks = new Forks({ ...parts, sandboxes: service, checkpoints });
    return { service, lifecycle, checkpoints, forks };
  }

  service(): SandboxService {
    return this.services().service;
  }

  /** Creates a sandbox, then lets `work` do things to it; crashes come from here on. */
  async with(work: (services: Services, id: string) => Promise<unknown>): Promise<void> {
    const services = this.services();
    this.watching = false;
    const { id } = await services.service.create(request, never);
    this.watching = true;
    await work(services, id);
  }

  /** What a new process does after a crash: a new engine takes up what was left. */
  async restart(): Promise<void> {
    await this.engine.close();
    this.engine = this.newEngine();
    await this.engine.recover();
    await this.settled();
  }

  /** Waits until all that was left has been taken up, and compares with the worker. */
  async settled(): Promise<void> {
    await this.services().checkpoints.removeLeftOver();
    await eventually(
      'recovered',
      async () =>
        (await unfinishedOperations(this.store)).length === 0 &&
        (await namelessCheckpoints(this.store)).length === 0,
    );
    await this.reconciler().run();
  }

  reconciler(): Reconciler {
    const { store, workers, idle, engine } = this;
    return new Reconciler({
      store,
      workers,
      log: quietLog,
      metrics: createMetrics(),
      idle,
      ended: () => undefined,
      between: (id, work) => engine.between(sandboxSubject(id), 1000, work),
      busy: (id) => engine.busy(sandboxSubject(id)),
    });
  }

  async onlyRow() {
    const rows = await this.store.selectFrom('sandboxes').selectAll().execute();
    expect(rows.length).toBeLessThanOrEqual(1);
    return rows[0];
  }
}

async function newWorld(): Promise<World> {
  const directory = temporaryDirectory();
  const store = await newStore();
  const world = new World(store, join(directory.path, 'w.sock'), () => directory[Symbol.dispose]());
  await world.worker.listen();
  world.workers.start({ connected: () => undefined, failed: () => undefined, restarted: () => undefined });
  await world.workers.someKnown(60_000);
  onTestFinished(() => world.end());
  return world;
}

const never = new AbortController().signal;

/** Runs an operation to its end, successful or undone, whatever happens on the way. */
const scenarios: Record<string, (world: World) => Promise<void>> = {
  create: async (world) => {
    await world.service().create(request, never);
  },
  'create that is refused': async (world) => {
    await world.service().create({ ...request, template: 'none' }, never);
  },
  'create that fails': async (world) => {
    world.worker.fail('PUT machine', new ApiError('creation_failed', 'no'));
    await world.service().create(request, never);
  },
  stop: async (world) => {
    const { id } = await world.service().create(request, never);
    await world.service().kill('o', id);
  },
  hibernate: (world) => world.with(({ lifecycle }, id) => lifecycle.hibernate(id, byClient)),
  'hibernate that fails': (world) =>
    world.with(({ lifecycle }, id) => {
      world.worker.fail('POST hibernate', new ApiError('no_space', 'full'));
      return lifecycle.hibernate(id, byClient);
    }),
  'hibernate and wake': (world) =>
    world.with(async ({ lifecycle }, id) => {
      await lifecycle.hibernate(id, byClient);
      await lifecycle.wake(id, byClient);
    }),
  'wake that fails': (world) =>
    world.with(async ({ lifecycle }, id) => {
      await lifecycle.hibernate(id, byClient);
      world.worker.fail('POST wake', new ApiError('no_capacity', 'full'));
      await lifecycle.wake(id, byClient);
    }),
  reboot: (world) => world.with(({ lifecycle }, id) => lifecycle.reboot(id, byClient)),
  powerCycle: (world) => world.with(({ lifecycle }, id) => lifecycle.powerCycle(id, byClient)),
  'reboot that fails': (world) =>
    world.with(({ lifecycle }, id) => {
      world.worker.fail('POST reboot', new ApiError('creation_failed', 'no'));
      return lifecycle.reboot(id, byClient);
    }),
  'powerCycle that fails': (world) =>
    world.with(({ lifecycle }, id) => {
      world.worker.fail('POST reboot', new ApiError('creation_failed', 'no'));
      return lifecycle.powerCycle(id, byClient);
    }),
  checkpoint: (world) => world.with(({ checkpoints }, id) => checkpoints.create('o', id, named('a'))),
  'checkpoint that fails': (world) =>
    world.with(({ checkpoints }, id) => {
      world.worker.fail('PUT snapshot', new ApiError('snapshot_failed', 'no'));
      return checkpoints.create('o', id, named('a'));
    }),
  restore: (world) =>
    world.with(async ({ checkpoints }, id) => {
      const row = await checkpoints.create('o', id, named('a'));
      await checkpoints.restore('o', id, row.id);
    }),
  'restore that fails': (world) =>
    world.with(async ({ checkpoints }, id) => {
      const row = await checkpoints.create('o', id, named('a'));
      world.worker.fail('POST restore', new ApiError('snapshot_damaged', 'no'));
      await checkpoints.restore('o', id, row.id);
    }),
  'wake with patches': (world) =>
    world.with(async ({ lifecycle, checkpoints, forks }, id) => {
      const row = await checkpoints.create('o', id, named('a'));
      const [forked] = await forks.fork('o', row.id, fork, never);
      if (forked === undefined) throw new Error('no fork');
      await lifecycle.hibernate(forked.id, byClient);
      await addPatch(world.store, row.id, { script: 'count', description: '' });
      await lifecycle.wake(forked.id, byClient);
    }),
  deleteCheckpoint: (world) =>
    world.with(async ({ checkpoints }, id) => {
      const row = await checkpoints.create('o', id, named('a'));
      await checkpoints.delete('o', id, row.id);
    }),
  fork: (world) =>
    world.with(async ({ checkpoints, forks }, id) => {
      const row = await checkpoints.create('o', id, named('a'));
      await addPatch(world.store, row.id, { script: 'count', description: '' });
      await forks.fork('o', row.id, fork, never);
    }),
  'fork that fails': (world) =>
    world.with(({ forks }, id) => {
      world.worker.fail('PUT machine', new ApiError('creation_failed', 'no'));
      return forks.forkSandbox('o', id, fork, never);
    }),
  'fork in one call': (world) => world.with(({ forks }, id) => forks.forkSandbox('o', id, fork, never)),
};

/** The points that a scenario passes when nothing goes wrong. */
async function pointsOf(run: (world: World) => Promise<void>): Promise<string[]> {
  const world = await newWorld();
  await run(world).catch(() => undefined);
  return [...new Set(world.points)];
}

/** Rows and machines, checkpoints and snapshots agree. */
async function expectConverged(world: World): Promise<void> {
  const rows = await world.store.selectFrom('sandboxes').selectAll().execute();
  const machines = new Map([...world.worker.machines].map(([id, { info }]) => [id, info.state as string]));
  for (const row of rows) {
    expect(['running', 'hibernated', 'stopped', 'error']).toContain(row.state);
    const live = row.state === 'running' || row.state === 'hibernated';
    expect(machines.get(row.id)).toBe(live ? row.state : undefined);
    machines.delete(row.id);
  }
  expect([...machines.keys()]).toEqual([]);
  const checkpoints = await world.store.selectFrom('checkpoints').selectAll().execute();
  for (const row of checkpoints) expect(['ready', 'failed']).toContain(row.state);
  const ready = checkpoints.filter((row) => row.state === 'ready').map((row) => row.id);
  expect([...world.worker.simulated.snapshots.keys()].toSorted()).toEqual(ready.toSorted());
  expect(await unfinishedOperations(world.store)).toEqual([]);
}

describe.each(Object.entries(scenarios))('%s', (_name, run) => {
  test('converges after a crash at every point, also when crashing twice', async () => {
    const points = await pointsOf(run);
    expect(points.length).toBeGreaterThan(2);
    for (const [index, point] of points.entries()) {
      // Where there are many points, the second crash is close to the first: at the same point or soon after. What a
      // second one does to the engine is no matter of the database, and each takes a new one.
      const close = points.length > 6 ? points.slice(index, index + 3) : points;
      for (const again of [undefined, ...(onPostgres ? [] : close)]) {
        const world = await newWorld();
        world.crashAt = point;
        await run(world).catch(() => undefined);
        world.crashAt = again;
        await world.engine.close();
        world.engine = world.newEngine();
        await world.engine.recover();
        const crashed = (): boolean => again !== undefined && world.crashAt === undefined;
        await eventually(
          'recovered or crashed again',
          async () => crashed() || (await unfinishedOperations(world.store)).length === 0,
        );
        world.crashAt = undefined;
        await world.restart();
        await expectConverged(world);
        await world.end();
      }
    }
  });

  test('converges when another server takes over after a crash at every point', async () => {
    for (const point of await pointsOf(run)) {
      const world = await newWorld();
      const other = world.newEngine(false);
      world.crashAt = point;
      await run(world).catch(() => undefined);
      // The lease of what has crashed is respected until it is over.
      expect(await other.recover()).toBe(0);
      await world.engine.close();
      const left = await unfinishedOperations(world.store);
      expect(await other.recover()).toBe(left.length);
      world.engine = other;
      await world.settled();
      await expectConverged(world);
      await world.end();
    }
  });

  test('its steps may be done twice, and its undos', async () => {
    const world = await newWorld();
    await run(world).catch(() => undefined);
    await world.restart();
    const operations = await world.store.selectFrom('operations').selectAll().execute();
    for (const row of operations) {
      const definition = world.definitions.find(({ kind }) => kind === row.kind);
      const sandbox = await findSandbox(world.store, row.subject_id);
      const context = {
        subject: sandboxSubject(row.subject_id),
        input: JSON.parse(row.input) as never,
        signal: never,
      };
      const last = row === operations.at(-1);
      for (const step of definition?.steps ?? []) {
        // What came later may have changed what an earlier one did.
        if (row.state === 'done' && last && sandbox !== undefined)
          expect(timeless(await step.run(context))).toEqual(timeless(await step.run(context)));
        if (row.state === 'undone' && typeof step.undo === 'function') {
          await step.undo(context);
          await step.undo(context);
        }
      }
    }
    await expectConverged(world);
  });
});

test('every step of every operation is crashed at, on its way there and back', async () => {
  const passed = new Set<string>();
  for (const run of Object.values(scenarios)) for (const point of await pointsOf(run)) passed.add(point);
  const world = await newWorld();
  const due: string[] = [];
  for (const { kind, steps } of world.definitions) {
    due.push(`${kind}:begun`);
    for (const { name } of steps)
      for (const moment of ['before', 'ran', 'committed']) due.push(`${kind}:${name}:${moment}`);
    if (!canBeGivenUp({ steps })) continue;
    due.push(`${kind}:undo:noted`, `${kind}:undo:committed`);
    // What fails is the first step; those after it have nothing to take back.
    if (typeof steps[0]?.undo === 'function') due.push(`${kind}:${steps[0].name}:undone`);
  }
  expect(due.filter((point) => !passed.has(point))).toEqual([]);
});

/** A result without the time of a start, which a second start changes. */
function timeless(result: unknown): unknown {
  return JSON.parse(JSON.stringify(result ?? null, (key, value) => (key === 'startedAt' ? '' : value)));
}

describe('a creation', () => {
  test('that a crash cut off is undone, with the reason', async () => {
    const world = await newWorld();
    world.crashAt = 'create:machine:ran';
    await expect(world.service().create(request, never)).rejects.toBeInstanceOf(SimulatedCrash);
    expect(world.worker.machines.size).toBe(1);
    await world.restart();
    expect(await world.onlyRow()).toMatchObject({
      state: 'stopped',
      reason: expect.stringContaining('interrupted'),
    });
    expect(world.worker.machines.size).toBe(0);
  });

  test('is tried again while the worker is away', async () => {
    const world = await newWorld();
    world.worker.fail('PUT machine', 'refuse', 3);
    world.worker.fail('PUT machine', 'dieAfter', 2);
    expect(await world.service().create(request, never)).toMatchObject({ state: 'running' });
    expect(world.worker.machines.size).toBe(1);
  });

  test('that is refused leaves nothing behind', async () => {
    const world = await newWorld();
    const creating = world.service().create({ ...request, template: 'none' }, never);
    await expect(creating).rejects.toMatchObject({ code: 'template_not_found' });
    expect(await world.onlyRow()).toBeUndefined();
    expect(await world.store.selectFrom('operations').selectAll().execute()).toEqual([]);
    expect(await world.store.selectFrom('events').selectAll().execute()).toEqual([]);
  });

  test('that fails leaves a sandbox in error, with the reason', async () => {
    const world = await newWorld();
    world.worker.fail('PUT machine', new ApiError('guest_timeout', 'the guest did not boot'));
    const creating = world.service().create(request, never);
    await expect(creating).rejects.toMatchObject({ code: 'creation_failed' });
    expect(await world.onlyRow()).toMatchObject({ state: 'error', reason: 'the guest did not boot' });
  });

  test('is undone when the client goes away', async () => {
    const world = await newWorld();
    world.worker.hold('PUT machine');
    const client = new AbortController();
    const creating = world.service().create(request, client.signal);
    await eventually('asked', () => world.worker.calls.includes('PUT machine'));
    client.abort();
    await expect(creating).rejects.toBeInstanceOf(CreationAbandoned);
    expect(await world.onlyRow()).toMatchObject({ state: 'stopped' });
    expect(world.worker.calls).toContain('DELETE machine');
  });

  test('is undone by a kill', async () => {
    const world = await newWorld();
    world.worker.hold('PUT machine');
    const service = world.service();
    const creating = service.create(request, never);
    await eventually('asked', () => world.worker.calls.includes('PUT machine'));
    const row = await world.onlyRow();
    const [created, killed] = await Promise.allSettled([creating, service.kill('o', row?.id ?? '')]);
    expect(created.status).toBe('rejected');
    expect(killed.status).toBe('fulfilled');
    expect(await world.onlyRow()).toMatchObject({ state: 'stopped' });
  });

  test('whose worker is dead tells the client before it is undone', async () => {
    const world = await newWorld();
    world.worker.fail('PUT machine', new ApiError('no_capacity', 'full'));
    world.worker.fail('DELETE machine', 'refuse', 2);
    const engine = world.engine;
    await expect(world.service().create(request, never)).rejects.toMatchObject({ code: 'no_capacity' });
    await engine.close();
    expect(world.worker.calls.filter((call) => call === 'DELETE machine').length).toBeGreaterThanOrEqual(2);
  });
});

describe('a stop', () => {
  test('is acknowledged while the worker is away, and finished when it is back', async () => {
    const world = await newWorld();
    const { store } = world;
    const { service } = world.services(20);
    const { id } = await service.create(request, never);
    await world.worker.kill();
    await service.kill('o', id);
    expect(await findSandbox(store, id)).toMatchObject({ state: 'stopping' });
    await world.worker.listen();
    await eventually('stopped', async () => (await findSandbox(store, id))?.state === 'stopped');
    expect(world.worker.machines.size).toBe(0);
  });

  test('happens once, however often it is asked for', async () => {
    const world = await newWorld();
    const service = world.service();
    const { id } = await service.create(request, never);
    await Promise.all([1, 2, 3].map(() => service.kill('o', id)));
    const kinds = await world.store.selectFrom('events').select('kind').execute();
    expect(kinds.map((event) => event.kind)).toEqual(['create', 'created', 'stop', 'stopped']);
  });
});
