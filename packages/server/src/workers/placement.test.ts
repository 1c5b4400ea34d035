import { beforeEach, afterEach, describe, expect, test } from 'vitest';
import { insertNewSandbox } from '../sandboxes/new-sandbox.ts';
import type { Store } from '../store/tables.ts';
import { noteContact } from '../store/workers.ts';
import { newStore } from '../testing/database.ts';
import { chooseWorker } from './placement.ts';

let store: Store;
beforeEach(async () => {
  store = await newStore();
});
afterEach(() => store.destroy());

let made = 0;
/** Puts a sandbox on a worker, as one that runs. */
async function occupy(workerId: string, memoryMB: number, state: 'running' | 'hibernated' = 'running') {
  made += 1;
  const id = `sb-${String(made).padStart(8, '0')}`;
  const shape = { template: 'base', cpuCount: 1, memoryMB, diskMB: 20480 };
  const sandbox = { owner: 'o', ...shape, envs: {}, metadata: {}, timeout: 300 };
  await insertNewSandbox(store, id, sandbox, workerId);
  await store.updateTable('sandboxes').set({ state }).where('id', '=', id).execute();
}

async function meet(id: string, machines: number, memoryMB: number): Promise<void> {
  await noteContact(store, { id, address: `/${id}`, machines_max: machines, memory_mb_max: memoryMB });
}

const drain = (id: string) =>
  store.updateTable('workers').set({ state: 'draining' }).where('id', '=', id).execute();
const choose = (memoryMB: number, connected = ['a', 'b', 'c']): Promise<string> =>
  chooseWorker(store, { memoryMB }, new Set(connected));

describe('the worker of a new sandbox', () => {
  test('is the only one, whatever is known of it', async () => {
    await meet('a', 0, 0);
    expect(await choose(1024, [])).toBe('a');
  });

  test('is the one of which the smaller part is taken, by machines or by memory, whichever is scarcer', async () => {
    await meet('a', 100, 4000);
    await meet('b', 100, 8000);
    expect(await choose(1000)).toBe('b');
    await occupy('b', 4000);
    expect(await choose(1000)).toBe('a');
    await meet('c', 10, 1_000_000);
    for (let i = 0; i < 5; i += 1) await occupy('c', 1);
    expect(await choose(1000)).toBe('a');
  });

  test('counts what holds a machine, or is about to, and not what is hibernated', async () => {
    await meet('a', 10, 10_000);
    await meet('b', 10, 10_000);
    await occupy('a', 3000, 'hibernated');
    await occupy('b', 500);
    expect(await choose(1000)).toBe('a');
  });

  test('has room, where any has', async () => {
    await meet('a', 1, 100_000);
    await meet('b', 100, 2000);
    await occupy('a', 1);
    await occupy('b', 1000);
    expect(await choose(1000)).toBe('b');
    // None has: the least loaded is asked, and says of what it has too little.
    expect(await choose(1200)).toBe('b');
    expect(await choose(5000)).toBe('a');
  });

  test('is connected, where any is; else one that was is waited for', async () => {
    await meet('a', 10, 10_000);
    await meet('b', 10, 10_000);
    await occupy('b', 9000);
    expect(await choose(1000, ['b'])).toBe('b');
    expect(await choose(1000, [])).toBe('a');
  });

  test('is not one that is being drained; where all are, there is none', async () => {
    await meet('a', 10, 10_000);
    await meet('b', 10, 10_000);
    await occupy('b', 9000);
    await drain('a');
    expect(await choose(1000)).toBe('b');
    await drain('b');
    await expect(choose(1000)).rejects.toMatchObject({ code: 'no_capacity' });
  });

  test('is for a fork the one that has its checkpoint; without one there is nothing to fork', async () => {
    await meet('a', 10, 10_000);
    const checkpointId = '00000000-0000-4000-8000-000000000000';
    const fork = chooseWorker(store, { memoryMB: 1, checkpointId }, new Set(['a']));
    await expect(fork).rejects.toMatchObject({ code: 'checkpoint_not_found' });
  });
});
