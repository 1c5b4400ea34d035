import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ApiError } from '@opencomputer/protocol';
import { createMetrics } from '../observe/metrics.ts';
import { operationDefinitions } from '../platform.ts';
import { CreationAbandoned } from '../sandboxes/create.ts';
import { IdleClock } from '../sandboxes/idle-clock.ts';
import { Patcher } from '../sandboxes/patcher.ts';
import { SandboxService } from '../sandboxes/service.ts';
import { openStore } from '../store/database.ts';
import { unfinishedOperations } from '../store/operations.ts';
import { findSandbox } from '../store/sandboxes.ts';
import type { Store } from '../store/tables.ts';
import { eventually, quietLog, temporaryDirectory } from '../testing/harness.ts';
import { SimulatedWorker } from '../testing/simulated-worker.ts';
import { WorkerClient } from '../workers/client.ts';
import { OperationEngine, SimulatedCrash } from './engine.ts';

const request = {
  templateID: 'base',
  timeout: 300,
  envs: { A: '1' },
  metadata: {},
  cpuCount: 1,
  memoryMB: 1024,
  diskMB: 20480,
};
const pace = { first: 1, longest: 5 };

class World {
  readonly store: Store = openStore(':memory:');
  readonly worker: SimulatedWorker;
  readonly client: WorkerClient;
  readonly idle = new IdleClock();
  /** Points that were passed, and the one at which to crash. */
  readonly points: string[] = [];
  crashAt: string | undefined;
  engine: OperationEngine;

  constructor(socket: string) {
    this.worker = new SimulatedWorker(socket);
    this.client = new WorkerClient(socket);
    this.engine = this.newEngine();
  }

  get definitions() {
    const { store, client: worker, idle } = this;
    const parts = { store, worker, idle, patcher: new Patcher(store, worker) };
    return operationDefinitions(parts, () => Promise.resolve('worker-1'));
  }

  newEngine(): OperationEngine {
    const crashPoint = (point: string): void => {
      this.points.push(point);
      if (point !== this.crashAt) return;
      this.crashAt = undefined;
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
    });
  }

  service(): SandboxService {
    const { store, engine } = this;
    const reconcile = (): Promise<void> => Promise.resolve();
    return new SandboxService({
      store,
      engine,
      idle: new IdleClock(),
      log: quietLog,
      maxSandboxes: 100,
      maxHibernated: 100,
      reconcile,
    });
  }

  /** What a new process does after a crash: a new engine takes up what was left. */
  async restart(): Promise<void> {
    await this.engine.close();
    this.engine = this.newEngine();
    await this.engine.recover();
    await eventually('recovered', async () => (await unfinishedOperations(this.store)).length === 0);
  }

  async onlyRow() {
    const rows = await this.store.selectFrom('sandboxes').selectAll().execute();
    expect(rows.length).toBeLessThanOrEqual(1);
    return rows[0];
  }
}

async function newWorld(): Promise<World> {
  const directory = temporaryDirectory();
  const world = new World(join(directory.path, 'w.sock'));
  await world.worker.listen();
  onTestFinished(async () => {
    await world.engine.close();
    world.client.close();
    await world.worker.kill();
    await world.store.destroy();
    directory[Symbol.dispose]();
  });
  return world;
}

const never = new AbortController().signal;

/** Runs an operation to its end, successful or undone, whatever happens on the way. */
const scenarios: Record<string, (world: World) => Promise<void>> = {
  create: async (world) => {
    await world.service().create('o', request, never);
  },
  'create that is refused': async (world) => {
    await world.service().create('o', { ...request, templateID: 'none' }, never);
  },
  'create that fails': async (world) => {
    world.worker.fail('PUT machine', new ApiError('creation_failed', 'no'));
    await world.service().create('o', request, never);
  },
  stop: async (world) => {
    const { id } = await world.service().create('o', request, never);
    await world.service().kill('o', id);
  },
};

/** The points that a scenario passes when nothing goes wrong. */
async function pointsOf(run: (world: World) => Promise<void>): Promise<string[]> {
  const world = await newWorld();
  await run(world).catch(() => undefined);
  return [...new Set(world.points)];
}

/** Row and machine agree: a running row has a machine, every other has none. */
async function expectConverged(world: World): Promise<void> {
  const row = await world.onlyRow();
  expect(['running', 'stopped', 'error', undefined]).toContain(row?.state);
  expect([...world.worker.machines.keys()]).toEqual(row?.state === 'running' ? [row.id] : []);
  expect(await unfinishedOperations(world.store)).toEqual([]);
}

describe.each(Object.entries(scenarios))('%s', (_name, run) => {
  test('converges after a crash at every point, also when crashing twice', async () => {
    const points = await pointsOf(run);
    expect(points.length).toBeGreaterThan(2);
    for (const point of points)
      for (const again of [undefined, ...points]) {
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
      }
  });

  test('its steps and undos may be done twice', async () => {
    const world = await newWorld();
    await run(world).catch(() => undefined);
    const row = await world.onlyRow();
    const sandboxId = row?.id ?? 'sb-00000000';
    for (const definition of world.definitions)
      for (const step of definition.steps) {
        const context = { sandboxId, input: {} as never, signal: never };
        if (definition.kind === 'create' && row?.state === 'running') {
          const first = await step.run(context);
          expect(await step.run(context)).toEqual(first);
        }
        if (definition.kind === 'stop' && row?.state !== 'running')
          expect(await step.run(context)).toEqual(await step.run(context));
        if (typeof step.undo === 'function' && row?.state !== 'running') {
          await step.undo(context);
          await step.undo(context);
        }
      }
    await expectConverged(world);
  });
});

describe('a creation', () => {
  test('that a crash cut off is undone, with the reason', async () => {
    const world = await newWorld();
    world.crashAt = 'create:machine:ran';
    await expect(world.service().create('o', request, never)).rejects.toBeInstanceOf(SimulatedCrash);
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
    expect(await world.service().create('o', request, never)).toMatchObject({ state: 'running' });
    expect(world.worker.machines.size).toBe(1);
  });

  test('that is refused leaves nothing behind', async () => {
    const world = await newWorld();
    const creating = world.service().create('o', { ...request, templateID: 'none' }, never);
    await expect(creating).rejects.toMatchObject({ code: 'template_not_found' });
    expect(await world.onlyRow()).toBeUndefined();
    expect(await world.store.selectFrom('operations').selectAll().execute()).toEqual([]);
    expect(await world.store.selectFrom('events').selectAll().execute()).toEqual([]);
  });

  test('that fails leaves a sandbox in error, with the reason', async () => {
    const world = await newWorld();
    world.worker.fail('PUT machine', new ApiError('guest_timeout', 'the guest did not boot'));
    const creating = world.service().create('o', request, never);
    await expect(creating).rejects.toMatchObject({ code: 'creation_failed' });
    expect(await world.onlyRow()).toMatchObject({ state: 'error', reason: 'the guest did not boot' });
  });

  test('is undone when the client goes away', async () => {
    const world = await newWorld();
    world.worker.startMs = 5000;
    const client = new AbortController();
    const creating = world.service().create('o', request, client.signal);
    await eventually('asked', () => world.worker.calls.includes('PUT machine'));
    client.abort();
    await expect(creating).rejects.toBeInstanceOf(CreationAbandoned);
    expect(await world.onlyRow()).toMatchObject({ state: 'stopped' });
    expect(world.worker.calls).toContain('DELETE machine');
  });

  test('is undone by a kill', async () => {
    const world = await newWorld();
    world.worker.startMs = 5000;
    const service = world.service();
    const creating = service.create('o', request, never);
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
    await expect(world.service().create('o', request, never)).rejects.toMatchObject({ code: 'no_capacity' });
    await engine.close();
    expect(world.worker.calls.filter((call) => call === 'DELETE machine').length).toBeGreaterThanOrEqual(2);
  });
});

describe('a stop', () => {
  test('is acknowledged while the worker is away, and finished when it is back', async () => {
    const world = await newWorld();
    const { store, engine } = world;
    const idle = new IdleClock();
    const reconcile = (): Promise<void> => Promise.resolve();
    const service = new SandboxService({
      store,
      engine,
      idle,
      log: quietLog,
      maxSandboxes: 9,
      maxHibernated: 9,
      reconcile,
      stopWaitMs: 20,
    });
    const { id } = await service.create('o', request, never);
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
    const { id } = await service.create('o', request, never);
    await Promise.all([1, 2, 3].map(() => service.kill('o', id)));
    const kinds = await world.store.selectFrom('events').select('kind').execute();
    expect(kinds.map((event) => event.kind)).toEqual(['create', 'created', 'stop', 'stopped']);
  });
});
