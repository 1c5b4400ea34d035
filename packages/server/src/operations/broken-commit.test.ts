import { sql } from 'kysely';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ApiError } from '@opencomputer/protocol';
import { openStore } from '../store/database.ts';
import { forgetOperations, type Subject } from '../store/operations.ts';
import type { Store } from '../store/tables.ts';
import { newPostgres, newStore, onPostgres } from '../testing/database.ts';
import { eventually, quietLog } from '../testing/harness.ts';
import { type OperationDefinition, step } from './definition.ts';
import { OperationEngine } from './engine.ts';

const subject: Subject = { kind: 'template', id: 'one' };

/** An engine whose one kind of operation counts its runs. */
async function lab(database?: string) {
  const store = database === undefined ? await newStore() : await openStore(database, quietLog);
  const said: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void said.push(line) });
  const runs: string[] = [];
  const lab = {
    commit: async (_tx: Store): Promise<void> => undefined,
    undone: async (_tx: Store): Promise<void> => undefined,
  };
  const definition: OperationDefinition = {
    kind: 'build',
    deadlineMs: 60_000,
    patienceMs: 1000,
    overdue: 'internal',
    cancellable: true,
    afterCrash: 'resume',
    steps: [
      step<unknown, void>({
        name: 'only',
        attemptMs: 60_000,
        run: async ({ subject: { id } }) => void runs.push(id),
        commit: (tx) => lab.commit(tx),
        undo: async () => void runs.push('undone'),
      }),
    ],
    undone: (tx) => lab.undone(tx),
  };
  const options = { store, log, definitions: [definition], pace: { first: 1, longest: 50 } };
  const engine = new OperationEngine({ ...options, alone: true });
  onTestFinished(async () => {
    await engine.close();
    await store.destroy();
  });
  const operations = () => store.selectFrom('operations').selectAll().execute();
  return Object.assign(lab, { store, runs, engine, operations, said });
}

/** Makes the commit of a transaction wait for a standby that is not there: all the same it has happened. @returns its process */
async function hang(tx: Store): Promise<number> {
  await sql`set local synchronous_commit = on`.execute(tx);
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
  return rows[0]?.pid ?? 0;
}

/** Begins an operation whose commit happens without an answer. */
function beginning(engine: OperationEngine): { pid: () => number; submitted: Promise<void> } {
  let pid = 0;
  const submitted = engine.submit('build', subject, {}, async (tx) => {
    pid = await hang(tx);
    return true;
  });
  return { pid: () => pid, submitted };
}

/** Waits until the commit of a connection has happened, and nobody has heard of it. */
async function committing(store: Store, pid: () => number): Promise<void> {
  await eventually('committing', async () => {
    const query = sql`select 1 from pg_stat_activity where pid = ${pid()} and wait_event = 'SyncRep'`;
    return (await query.execute(store)).rows.length === 1;
  });
}

describe.runIf(onPostgres)('an operation whose connection breaks at the commit that begins it', () => {
  test('is run when the commit has happened', async () => {
    const { store, runs, engine, operations } = await lab();
    const { pid, submitted } = beginning(engine);
    await committing(store, pid);
    await sql`select pg_terminate_backend(${pid()}::integer)`.execute(store);
    await submitted;
    expect(runs).toEqual(['one']);
    expect(await operations()).toMatchObject([{ state: 'done' }]);
    expect(engine.busy(subject)).toBe(false);
  });

  test('is refused, and nothing of it is there, when it has not', async () => {
    const { runs, engine, operations } = await lab();
    const submitted = engine.submit('build', subject, {}, async (tx) => {
      await sql`create function end_me() returns trigger language plpgsql as
        $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$`.execute(tx);
      // At the commit, before it has happened.
      await sql`create constraint trigger end_me after insert on operations deferrable initially deferred
        for each row execute function end_me()`.execute(tx);
      return true;
    });
    await expect(submitted).rejects.toThrow(/terminat/);
    expect([runs, await operations()]).toEqual([[], []]);
    await engine.submit('build', subject, {}, () => Promise.resolve(true));
    expect(runs).toEqual(['one']);
  });

  test('is asked after until the database answers', async () => {
    const url = (await newPostgres()) ?? '';
    const database = new URL(url.replace('@/', '@host/')).pathname.slice(1);
    const admin = await newStore();
    onTestFinished(() => admin.destroy());
    const { runs, engine, operations, said } = await lab(url);
    const { pid, submitted } = beginning(engine);
    await committing(admin, pid);
    await sql`alter database ${sql.id(database)} allow_connections false`.execute(admin);
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${database}`.execute(
      admin,
    );
    await eventually('asked time and again', () => said.join().split('asking again').length > 3);
    expect(runs).toEqual([]);
    await sql`alter database ${sql.id(database)} allow_connections true`.execute(admin);
    await submitted;
    expect(runs).toEqual(['one']);
    expect(await operations()).toMatchObject([{ state: 'done' }]);
  });
});

test.runIf(onPostgres)(
  'a step whose connection breaks at its commit is finished, and not taken back',
  async () => {
    const made = await lab();
    const { store, runs, engine, operations } = made;
    let pid = 0;
    made.commit = async (tx) => {
      pid = await hang(tx);
    };
    const submitted = engine.submit('build', subject, {}, () => Promise.resolve(true));
    await committing(store, () => pid);
    await sql`select pg_terminate_backend(${pid}::integer)`.execute(store);
    await submitted;
    expect(runs).toEqual(['one']);
    expect(await operations()).toMatchObject([{ state: 'done', step: 1 }]);
  },
);

test.runIf(onPostgres)(
  'an undo whose connection breaks at its commit ends once, with what made it be undone',
  async () => {
    const made = await lab();
    const { store, runs, engine, operations } = made;
    let pid = 0;
    made.commit = () => Promise.reject(new ApiError('no_capacity', 'full'));
    made.undone = async (tx) => {
      runs.push('forgotten');
      await forgetOperations(tx, subject);
      pid = await hang(tx);
    };
    const submitted = engine.submit('build', subject, {}, () => Promise.resolve(true));
    const refused = expect(submitted).rejects.toMatchObject({ code: 'no_capacity' });
    await committing(store, () => pid);
    await sql`select pg_terminate_backend(${pid}::integer)`.execute(store);
    await refused;
    expect(runs).toEqual(['one', 'undone', 'forgotten']);
    expect(await operations()).toEqual([]);
  },
);
