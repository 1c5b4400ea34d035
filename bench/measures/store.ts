import { randomBytes, randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import {
  countLive,
  insertNewSandbox,
  insertOperation,
  listSandboxes,
  noteContact,
  openStore,
  PostgresClient,
  PostgresCluster,
  type Store,
  transact,
} from '@opencomputer/server/bench';
import { atMostMoreMs, compare, type Finding } from '../finding.ts';
import { type Context, timed } from './context.ts';

const rounds = 300;
const quickRounds = 50;
/** Sandboxes that are there before, of which a page of a hundred is listed. */
const rows = 2000;
const pageSize = 100;
const limitMs = 10;

const owner = 'bench';
const worker = { id: 'bench', address: '/run/bench.sock', machines_max: 10_000, memory_mb_max: 10_000_000 };
const sandbox = {
  owner,
  template: 'base',
  cpuCount: 1,
  memoryMB: 512,
  diskMB: 20_480,
  envs: { STAGE: 'bench' },
  metadata: { project: 'bench' },
  timeout: 300,
};

/** The transaction with which a create begins: the quota, the row, its event, the intent. */
async function beginCreate(store: Store): Promise<void> {
  const id = `sb-${randomBytes(4).toString('hex')}`;
  const now = Date.now();
  await transact(store, async (tx) => {
    await countLive(tx, owner);
    await insertNewSandbox(tx, id, sandbox, worker.id);
    await insertOperation(tx, {
      id: randomUUID(),
      kind: 'create',
      subject_kind: 'sandbox',
      subject_id: id,
      input: '{}',
      state: 'running',
      step: 0,
      attempts: 0,
      error: null,
      created_at: now,
      updated_at: now,
      deadline_at: now,
      owner,
      owned_until: now,
    });
  });
}

/** One row of as many bytes, kept as durably. */
type WriteRow = (value: string) => Promise<void> | void;
const rowBytes = 1200;

async function measureOn(
  name: string,
  store: Store,
  writeRow: WriteRow,
  { options, say }: Context,
): Promise<Finding[]> {
  say(`store: ${name}, ${rows} sandboxes first`);
  await noteContact(store, worker);
  await transact(store, async (tx) => {
    for (let n = 0; n < rows; n++)
      await insertNewSandbox(tx, `sb-${n.toString(16).padStart(8, '0')}`, sandbox, worker.id);
  });
  const [begun, written, listed]: [number[], number[], number[]] = [[], [], []];
  const value = 'x'.repeat(rowBytes);
  const filter = { owner, states: ['creating'], metadata: [], limit: pageSize } as const;
  for (let round = 0; round < (options.quick ? quickRounds : rounds); round++) {
    begun.push((await timed(() => beginCreate(store))).ms);
    written.push((await timed(async () => writeRow(value))).ms);
    listed.push((await timed(() => listSandboxes(store, filter))).ms);
  }
  return [
    compare(
      { group: 'store', name: `begin a create, ${name}`, unit: 'ms' },
      begun,
      written,
      atMostMoreMs(limitMs),
    ),
    compare({ group: 'store', name: `list ${pageSize} of ${rows}, ${name}`, unit: 'ms' }, listed, []),
  ];
}

async function measureSqlite(context: Context): Promise<Finding[]> {
  const store = await openStore(context.platform.scratch('store.db'));
  const raw = new DatabaseSync(context.platform.scratch('floor.db'));
  try {
    raw.exec('pragma journal_mode = wal; pragma synchronous = full; create table floor (value text)');
    const insert = raw.prepare('insert into floor values (?)');
    return await measureOn('SQLite', store, (value) => void insert.run(value), context);
  } finally {
    raw.close();
    await store.destroy();
  }
}

async function measurePostgres(context: Context): Promise<Finding[]> {
  await using cluster = await PostgresCluster.start(true);
  const store = await openStore(cluster.url);
  const raw = new PostgresClient(cluster.url);
  await raw.connect();
  try {
    await raw.query('create table floor (value text)');
    const writeRow: WriteRow = async (value) =>
      void (await raw.query({ name: 'floor', text: 'insert into floor values ($1)', values: [value] }));
    return await measureOn('PostgreSQL', store, writeRow, context);
  } finally {
    await raw.end();
    await store.destroy();
  }
}

/** The store alone, on each of its databases, beside one row that is written as durably by its driver. */
export async function measureStore(context: Context): Promise<Finding[]> {
  return [...(await measureSqlite(context)), ...(await measurePostgres(context))];
}
