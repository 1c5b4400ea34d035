import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually, TestServer } from '../testing/harness.ts';
import type { SimulatedWorker } from '../testing/simulated-worker.ts';
import type { Store } from '../store/tables.ts';

let server: TestServer;
let a: SimulatedWorker;
let b: SimulatedWorker;
beforeEach(async () => {
  server = await TestServer.startWith('worker-b');
  [a, b] = server.workers as [SimulatedWorker, SimulatedWorker];
});
afterEach(() => server[Symbol.asyncDispose]());

const read = async (id: string) => (await server.call('GET', `/api/sandboxes/${id}`)).json;
/** Uses the machine of a sandbox, which is not waited for when its worker is away. */
const use = (id: string) => server.call('GET', `/api/sandboxes/${id}/files/list?path=/`);
const lists = (worker: SimulatedWorker): number =>
  worker.calls.filter((call) => call === 'GET snapshots').length;

/** Creates a sandbox on each worker. */
async function oneOnEach(): Promise<[onA: string, onB: string]> {
  const [first, second] = [await server.create(), await server.create()];
  return a.machines.has(first) ? [first, second] : [second, first];
}

/** Breaks the connection to a worker, lets it come back, and waits until it has been compared. */
async function reconnect(worker: SimulatedWorker, meanwhile: () => unknown = () => undefined): Promise<void> {
  await worker.kill();
  meanwhile();
  const before = lists(worker);
  await worker.listen();
  // The list of snapshots is the last that is asked for.
  await eventually('compared', () => lists(worker) > before);
}

async function inStore<T>(work: (store: Store) => Promise<T>): Promise<T> {
  const store = await server.openStore();
  try {
    return await work(store);
  } finally {
    await store.destroy();
  }
}

describe('two workers', () => {
  test('share new sandboxes, also those that come at once, and each says where it is', async () => {
    const ids = await Promise.all(Array.from({ length: 6 }, () => server.create()));
    expect([a.machines.size, b.machines.size]).toEqual([3, 3]);
    for (const id of ids) {
      const worker = a.machines.has(id) ? a : b;
      expect((await read(id)).workerID).toBe(worker.id);
      expect((await use(id)).status).toBe(200);
    }
    for (const id of ids) expect((await server.call('DELETE', `/api/sandboxes/${id}`)).status).toBe(204);
    expect([a.machines.size, b.machines.size]).toEqual([0, 0]);
  });

  test('have the worker of a sandbox in its row before anything is made', async () => {
    const seen: string[] = [];
    for (const worker of [a, b])
      worker.turn = async (call) => {
        if (call !== 'PUT machine') return;
        const rows = await inStore((store) =>
          store.selectFrom('sandboxes').select(['state', 'worker_id']).execute(),
        );
        seen.push(...rows.filter((row) => row.state === 'creating').map((row) => row.worker_id));
      };
    await oneOnEach();
    expect(seen).toHaveLength(2);
    expect(new Set(seen)).toEqual(new Set(['worker-b', 'worker-simulated']));
  });

  test('make forks where their checkpoint is, and change each sandbox where that is', async () => {
    const onWorkers = await oneOnEach();
    for (const [index, id] of onWorkers.entries()) {
      const worker = index === 0 ? a : b;
      const at = `/api/sandboxes/${id}`;
      const checkpoint = (await server.call('POST', `${at}/checkpoints`, { name: 'x' })).json.id;
      expect([...worker.simulated.snapshots.keys()]).toEqual([checkpoint]);
      const forks = await server.call('POST', `/api/sandboxes/from-checkpoint/${checkpoint}`, { count: 3 });
      expect(forks.status).toBe(201);
      expect(worker.machines.size).toBe(4);
      expect((await server.call('POST', `${at}/hibernate`)).status).toBe(200);
      expect(worker.machine(id).info.state).toBe('hibernated');
      expect((await use(id)).status).toBe(200);
      expect((await server.call('POST', `${at}/checkpoints/${checkpoint}/restore`)).status).toBe(200);
      expect((await server.call('DELETE', `${at}/checkpoints/${checkpoint}`)).status).toBe(204);
      expect(worker.simulated.snapshots.size).toBe(0);
    }
  });
});

describe('a worker that is away', () => {
  test('leaves the sandboxes of the other alone, loses nothing, and answers for its own that it is away', async () => {
    const [onA, onB] = await oneOnEach();
    const at = `/api/sandboxes/${onA}/checkpoints`;
    const checkpoint = (await server.call('POST', at, { name: 'x' })).json.id;
    await a.kill();
    await reconnect(b);
    expect((await use(onB)).status).toBe(200);
    const refused = await use(onA);
    expect([refused.status, refused.json.code]).toEqual([503, 'worker_unavailable']);
    expect((await read(onA)).status).toBe('running');
    expect((await server.call('GET', at)).json[0].status).toBe('ready');
    expect((await server.call('GET', '/readyz')).status).toBe(200);
    const next = await Promise.all([server.create(), server.create()]);
    for (const id of next) expect(b.machines.has(id)).toBe(true);
    await reconnect(a);
    await server.allConnected();
    expect((await use(onA)).status).toBe(200);
    expect((await server.call('POST', `/api/sandboxes/from-checkpoint/${checkpoint}`, {})).status).toBe(201);
  });

  test('is known again after a restart of the server, before it has been reached', async () => {
    const [onA, onB] = await oneOnEach();
    await server.stopServer();
    await b.kill();
    await server.startServer();
    expect((await use(onA)).status).toBe(200);
    expect((await use(onB)).json.code).toBe('worker_unavailable');
    expect((await read(onB)).status).toBe('running');
    await b.listen();
    await server.allConnected();
    expect((await use(onB)).status).toBe(200);
  });
});

describe('a comparison', () => {
  test('declares nothing of the other worker lost, and takes no word for it', async () => {
    const [onA, onB] = await oneOnEach();
    for (const worker of [a, b]) await reconnect(worker);
    a.send({ type: 'machineFailed', id: onB, reason: 'not mine' });
    a.failMachine(onA, 'mine');
    await eventually('lost', async () => (await read(onA)).status === 'error');
    expect((await read(onB)).status).toBe('running');
  });

  test('only reports a machine or snapshot whose row is on the other worker, also where that has ended', async () => {
    const [, onB] = await oneOnEach();
    const { info } = b.machine(onB);
    const taken = await server.call('POST', `/api/sandboxes/${onB}/checkpoints`, { name: 'x' });
    const snapshot = b.simulated.snapshots.get(taken.json.id);
    if (snapshot === undefined) throw new Error('no snapshot');
    await server.call('DELETE', `/api/sandboxes/${onB}`);
    await reconnect(a, () => {
      a.addMachine(onB, info.spec);
      a.simulated.snapshots.set(taken.json.id, snapshot);
    });
    const metrics = async () => (await server.call('GET', '/metrics')).text;
    await eventually('reported', async () =>
      (await metrics()).includes('opencomputer_unknown_snapshots{worker="worker-simulated"} 1'),
    );
    expect(await metrics()).toContain('opencomputer_unknown_machines{worker="worker-simulated"} 1');
    expect(a.machines.has(onB)).toBe(true);
    expect(a.simulated.snapshots.has(taken.json.id)).toBe(true);
  });

  test('counts for nothing where another worker answers', async () => {
    const [onA] = await oneOnEach();
    // Without a break of the connection that would show it.
    const machine = a.machine(onA);
    a.id = 'somebody-else';
    a.machines.clear();
    const answer = await use(onA);
    expect([answer.status, answer.json.code]).toEqual([503, 'worker_unavailable']);
    expect((await read(onA)).status).toBe('running');
    a.id = 'worker-simulated';
    a.machines.set(onA, machine);
    expect((await use(onA)).status).toBe(200);
  });
});

describe('who answers at an address', () => {
  test('may be another worker: what the one before has waits for it, and nothing is lost', async () => {
    const [onA] = await oneOnEach();
    const machine = a.machine(onA);
    await reconnect(a, () => {
      a.id = 'worker-new';
      a.machines.clear();
    });
    expect((await use(onA)).json.code).toBe('worker_unavailable');
    expect((await read(onA)).status).toBe('running');
    await reconnect(a, () => {
      a.id = 'worker-simulated';
      a.machines.set(onA, machine);
    });
    expect((await use(onA)).status).toBe(200);
    const rows = await inStore((store) =>
      store.selectFrom('workers').select(['id', 'address']).orderBy('id').execute(),
    );
    expect(rows).toEqual([
      { id: 'worker-b', address: b.socketPath },
      { id: 'worker-new', address: null },
      { id: 'worker-simulated', address: a.socketPath },
    ]);
  });

  test('may not be a worker that is connected elsewhere', async () => {
    const [, onB] = await oneOnEach();
    await a.kill();
    a.id = 'worker-b';
    const asked = a.calls.filter((call) => call === 'GET worker').length;
    await a.listen();
    await eventually('asked', () => a.calls.filter((call) => call === 'GET worker').length > asked + 1);
    const { text } = await server.call('GET', '/metrics');
    expect(text).toContain('opencomputer_worker_reachable{worker="worker-simulated"} 0');
    expect((await use(onB)).status).toBe(200);
    expect((await read(onB)).status).toBe('running');
  });
});

test('what is from before workers were written down is given to the first one, whatever its host was called', async () => {
  await b.kill();
  await eventually('gone', async () =>
    (await server.call('GET', '/metrics')).text.includes('worker_reachable{worker="worker-b"} 0'),
  );
  const ids = [await server.create(), await server.create()];
  const [first = '', second = ''] = ids;
  const at = `/api/sandboxes/${first}/checkpoints`;
  const checkpoint = (await server.call('POST', at, { name: 'x' })).json.id;
  await server.stopServer();
  await inStore(async (store) => {
    await store.deleteFrom('workers').execute();
    await store.updateTable('checkpoints').set({ worker_id: '' }).execute();
    for (const [index, id] of ids.entries())
      await store
        .updateTable('sandboxes')
        .set({ worker_id: `host-${index}` })
        .where('id', '=', id)
        .execute();
  });
  await server.startServer();
  for (const id of ids) {
    await eventually('given', async () => (await read(id)).workerID === a.id);
    expect((await use(id)).status).toBe(200);
  }
  await reconnect(a);
  for (const id of ids) expect((await read(id)).status).toBe('running');
  expect((await server.call('GET', at)).json[0].status).toBe('ready');
  expect((await server.call('POST', `/api/sandboxes/from-checkpoint/${checkpoint}`, {})).status).toBe(201);
  // The next one is given nothing.
  await b.listen();
  await server.allConnected();
  expect((await read(second)).workerID).toBe(a.id);
});

test('a sandbox that is created before any worker was ever reached waits for the first one', async () => {
  await server.stopServer();
  await a.kill();
  await b.kill();
  await inStore((store) => store.deleteFrom('workers').execute());
  await server.startServer(false);
  const creating = server.create();
  const reached = (await server.call('GET', '/metrics')).text;
  expect(reached).toContain(`opencomputer_worker_reachable{worker="${a.socketPath}"} 0`);
  await a.listen();
  expect((await read(await creating)).workerID).toBe(a.id);
});

test('a worker of an older release, which does not say what it takes, is used', async () => {
  await reconnect(b, () => (b.capacity = undefined));
  await server.allConnected();
  const ids = [await server.create(), await server.create()];
  expect(a.machines.size).toBe(2);
  await a.kill();
  await eventually('gone', async () =>
    (await server.call('GET', '/metrics')).text.includes('worker_reachable{worker="worker-simulated"} 0'),
  );
  expect(b.machines.has(await server.create())).toBe(true);
  for (const id of ids) expect((await read(id)).status).toBe('running');
});
