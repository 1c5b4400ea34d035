import { describe, expect, onTestFinished, test } from 'vitest';
import { ApiError } from '@opencomputer/protocol';
import { type Subject, unfinishedOperations } from '../store/operations.ts';
import type { Store } from '../store/tables.ts';
import { newStore } from '../testing/database.ts';
import { eventually, quietLog } from '../testing/harness.ts';
import { type OperationDefinition, step } from './definition.ts';
import { type EngineOptions, OperationEngine } from './engine.ts';
import { SimulatedCrash } from './runner.ts';

/** Something that operations work on and that is no sandbox. */
const template: Subject = { kind: 'template', id: 'one' };
const begin = () => Promise.resolve(true);

/** A database with a kind of operation that builds templates, in two steps. */
class Builds {
  readonly store: Store;
  /** What was done, in this order. */
  readonly done: string[] = [];
  /** What the first step waits for, and the signal of each of its attempts. */
  gate: Promise<void> = Promise.resolve();
  readonly signals: AbortSignal[] = [];
  fails: ApiError | undefined;
  readonly engines: OperationEngine[] = [];

  constructor(store: Store) {
    this.store = store;
  }

  get definition(): OperationDefinition {
    const note = (what: string, { id }: Subject): void => void this.done.push(`${what} ${id}`);
    return {
      kind: 'build',
      deadlineMs: 60_000,
      patienceMs: 1000,
      overdue: 'internal',
      cancellable: true,
      afterCrash: 'resume',
      steps: [
        step<unknown, string>({
          name: 'disk',
          attemptMs: 60_000,
          run: async ({ subject, signal }) => {
            this.signals.push(signal);
            const aborted = new Promise<never>((_, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
            });
            await Promise.race([this.gate, aborted]);
            return subject.id;
          },
          commit: async (_tx, { subject }, id) => note(`built for ${id}:`, subject),
          undo: async ({ subject }) => note('removed', subject),
        }),
        step<unknown, void>({
          name: 'publish',
          attemptMs: 60_000,
          run: async () => {
            if (this.fails !== undefined) throw this.fails;
          },
          commit: async (_tx, { subject }) => note('published', subject),
          undo: { settledBy: 'reconcile' },
        }),
      ],
      undone: async (_tx, subject, _input, error) => note(`undone (${error.message})`, subject),
    };
  }

  engine(options: Partial<EngineOptions> = {}): OperationEngine {
    const { store, definition } = this;
    const pace = { first: 1, longest: 5 };
    const engine = new OperationEngine({
      store,
      log: quietLog,
      definitions: [definition],
      pace,
      ...options,
    });
    this.engines.push(engine);
    return engine;
  }

  /** Holds the first step back until the returned function is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gate = promise;
    return resolve;
  }

  /** A server that begins a build and dies. */
  async crash(options: Partial<EngineOptions> = {}): Promise<void> {
    const crashPoint = (point: string): void => {
      if (point === 'build:begun') throw new SimulatedCrash(point);
    };
    const building = this.engine({ ...options, crashPoint }).submit('build', template, {}, begin);
    await expect(building).rejects.toThrow(SimulatedCrash);
  }

  /** What the time does to the leases of a server that renews none. */
  async leasesRunOut(): Promise<void> {
    await this.store.updateTable('operations').set({ owned_until: 0 }).execute();
  }
}

async function newBuilds(): Promise<Builds> {
  const builds = new Builds(await newStore());
  onTestFinished(async () => {
    for (const engine of builds.engines) await engine.close();
    await builds.store.destroy();
  });
  return builds;
}

const all = ['built for one: one', 'published one'];

describe('a subject of another kind than a sandbox', () => {
  test('is worked on, and its row says which', async () => {
    const builds = await newBuilds();
    await builds.engine().submit('build', template, {}, begin);
    expect(builds.done).toEqual(all);
    const rows = await builds.store.selectFrom('operations').selectAll().execute();
    expect(rows).toMatchObject([{ subject_kind: 'template', subject_id: 'one', state: 'done' }]);
  });

  test('is locked by its kind and id together', async () => {
    const builds = await newBuilds();
    const open = builds.hold();
    const engine = builds.engine();
    const first = engine.submit('build', template, {}, begin);
    await eventually('begun', () => builds.signals.length === 1);
    expect(engine.busy(template)).toBe(true);
    expect(engine.busy({ kind: 'sandbox', id: 'one' })).toBe(false);
    await engine.between({ kind: 'sandbox', id: 'one' }, 0, begin);
    const second = engine.submit('build', template, {}, begin, { patienceMs: 0 });
    await expect(second).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringContaining('a change of the template'),
    });
    open();
    await first;
  });

  test('is cancelled, which takes back what can be and leaves the rest to who settles it', async () => {
    const builds = await newBuilds();
    builds.hold();
    const engine = builds.engine();
    const building = engine.submit('build', template, {}, begin);
    building.catch(() => undefined);
    await eventually('begun', () => builds.signals.length === 1);
    engine.cancel({ kind: 'sandbox', id: 'one' }, new ApiError('conflict', 'not this'));
    engine.cancel(template, new ApiError('conflict', 'not wanted'));
    await expect(building).rejects.toThrow('not wanted');
    expect(builds.done).toEqual(['removed one', 'undone (not wanted) one']);
  });

  test('that fails later is taken back from the first step on', async () => {
    const builds = await newBuilds();
    builds.fails = new ApiError('no_space', 'full');
    await expect(builds.engine().submit('build', template, {}, begin)).rejects.toThrow('full');
    expect(builds.done).toEqual(['built for one: one', 'removed one', 'undone (full) one']);
  });

  test.each(['build:begun', 'build:disk:ran', 'build:disk:committed', 'build:publish:ran'])(
    'is finished after a crash at %s',
    async (point) => {
      const builds = await newBuilds();
      const crashing = builds.engine({
        crashPoint: (passed) => {
          if (passed === point) throw new SimulatedCrash(point);
        },
      });
      await expect(crashing.submit('build', template, {}, begin)).rejects.toThrow(SimulatedCrash);
      await crashing.close();
      expect(await builds.engine({ alone: true }).recover()).toBe(1);
      await eventually('ended', async () => (await unfinishedOperations(builds.store)).length === 0);
      expect(builds.done).toEqual(all);
    },
  );
});

describe('a lease', () => {
  test('is renewed while its operation runs, so that no other server takes that', async () => {
    const builds = await newBuilds();
    const open = builds.hold();
    const building = builds.engine({ leaseMs: 1000 }).submit('build', template, {}, begin);
    await eventually('begun', () => builds.signals.length === 1);
    const [before] = await unfinishedOperations(builds.store);
    await eventually('renewed', async () => {
      const [row] = await unfinishedOperations(builds.store);
      return (row?.owned_until ?? 0) > (before?.owned_until ?? 0);
    });
    expect(await builds.engine().recover()).toBe(0);
    open();
    await building;
    expect(builds.done).toEqual(all);
  });

  test('that is over lets another server go on, without being asked', async () => {
    const builds = await newBuilds();
    await builds.crash({ leaseMs: 100 });
    await builds.engine({ leaseMs: 100 }).recover();
    await eventually('taken over', async () => (await unfinishedOperations(builds.store)).length === 0);
    expect(builds.done).toEqual(all);
  });

  test('of a server that stops ends with it, so that another goes on at once', async () => {
    const builds = await newBuilds();
    builds.hold();
    const stopping = builds.engine();
    const building = stopping.submit('build', template, {}, begin);
    building.catch(() => undefined);
    await eventually('begun', () => builds.signals.length === 1);
    await stopping.close();
    await expect(building).rejects.toMatchObject({ code: 'shutting_down' });
    builds.gate = Promise.resolve();
    expect(await builds.engine().recover()).toBe(1);
    await eventually('taken over', async () => (await unfinishedOperations(builds.store)).length === 0);
    expect(builds.done).toEqual(all);
  });

  test('that was lost keeps its server from writing anything; its caller hears how it ended', async () => {
    const builds = await newBuilds();
    const open = builds.hold();
    const building = builds.engine().submit('build', template, {}, begin);
    await eventually('begun', () => builds.signals.length === 1);
    // A server that stood still for longer than its lease, and goes on as if nothing had happened.
    await builds.leasesRunOut();
    builds.gate = Promise.resolve();
    expect(await builds.engine().recover()).toBe(1);
    await eventually('taken over', async () => (await unfinishedOperations(builds.store)).length === 0);
    open();
    await building;
    expect(builds.done).toEqual(all);
  });

  test('that was lost breaks off what is under way', async () => {
    const builds = await newBuilds();
    builds.hold();
    const building = builds.engine({ leaseMs: 300 }).submit('build', template, {}, begin);
    building.catch(() => undefined);
    await eventually('begun', () => builds.signals.length === 1);
    const values = { owner: 'another', owned_until: Date.now() + 60_000 };
    await builds.store.updateTable('operations').set(values).execute();
    await eventually('broken off', () => builds.signals[0]?.aborted === true);
    expect(builds.done).toEqual([]);
    // The other one undoes it.
    const error = JSON.stringify(new ApiError('no_space', 'full').toBody());
    await builds.store.updateTable('operations').set({ state: 'undone', error }).execute();
    await expect(building).rejects.toMatchObject({ code: 'no_space' });
  });
});

describe('a subject that another server works on', () => {
  test('is waited for, for as long as the caller has patience', async () => {
    const builds = await newBuilds();
    const open = builds.hold();
    const building = builds.engine().submit('build', template, {}, begin);
    await eventually('begun', () => builds.signals.length === 1);
    const other = builds.engine();
    const impatient = other.submit('build', template, {}, begin, { patienceMs: 0 });
    await expect(impatient).rejects.toMatchObject({ code: 'busy' });
    await expect(other.between(template, 0, begin)).rejects.toMatchObject({ code: 'busy' });
    const patient = other.submit('build', template, {}, begin);
    open();
    await Promise.all([building, patient]);
    expect(builds.done).toEqual([...all, ...all]);
  });

  test('and that has died, is first brought to its end', async () => {
    const builds = await newBuilds();
    await builds.crash();
    await builds.leasesRunOut();
    await builds.engine().submit('build', template, {}, begin);
    expect(builds.done).toEqual([...all, ...all]);
  });
});
