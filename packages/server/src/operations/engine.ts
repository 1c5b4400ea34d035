import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from '@opencomputer/protocol';
import {
  claimOperation,
  findOperation,
  insertOperation,
  operationOfAnother,
  operationWasWritten,
  type Subject,
  unfinishedOperations,
} from '../store/operations.ts';
import type { OperationRow, Store } from '../store/tables.ts';
import { OutcomeUnknown, transact } from '../store/transaction.ts';
import type { OperationDefinition } from './definition.ts';
import { KeyedLock, tooLong } from '../keyed-lock.ts';
import { LeaseLost, Leases } from './leases.ts';
import { type Pace, Pacer } from './pacer.ts';
import { errorOf, keyOf, Runner, type RunnerOptions, subjectOf } from './runner.ts';

export interface EngineOptions extends RunnerOptions {
  readonly definitions: readonly OperationDefinition<never>[];
  readonly pace?: Pace;
  /** No other server can be on the database: what is unfinished at the start was left by one that has ended. */
  readonly alone?: boolean;
  /** Milliseconds after which other servers take over what this one does not renew. */
  readonly leaseMs?: number;
}

export interface SubmitOptions {
  /** Milliseconds that it waits for other changes of the subject. */
  readonly patienceMs?: number;
  /** Called once the intent is kept. */
  readonly begun?: (() => void) | undefined;
}

type Definition = OperationDefinition;

const defaultLeaseMs = 30_000;
/** How often it is looked whether another server has ended an operation. */
const lookMs = 200;

/**
 * Runs durable operations, one at a time for each subject. Several engines may share a database: what one runs is its
 * own as long as it renews the lease in the row, and no other writes anything of it.
 */
export class OperationEngine {
  readonly #options: EngineOptions;
  readonly #definitions: Map<string, Definition>;
  readonly #locks = new KeyedLock();
  readonly #running = new Set<Promise<unknown>>();
  readonly #stopping = new AbortController();
  readonly #pacer: Pacer;
  readonly #runner: Runner;
  readonly #leases: Leases;
  readonly #takingUp = new Set<string>();
  #sweeping: NodeJS.Timeout | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    const definitions = options.definitions as unknown as readonly Definition[];
    this.#definitions = new Map(definitions.map((definition) => [definition.kind, definition]));
    this.#pacer = new Pacer(options.pace ?? { first: 100, longest: 15_000 }, this.#stopping.signal);
    this.#runner = new Runner(options, this.#pacer, this.#stopping.signal);
    this.#leases = new Leases({ ...options, leaseMs: this.#leaseMs });
  }

  /**
   * Starts an operation and waits for its end. `begin` changes rows in the transaction that also writes the intent;
   * when it returns false there is nothing to do.
   * @throws what made it be undone, when it is undone or takes long to undo; `shutting_down` when the server stops;
   *   `conflict` when its turn does not come in time.
   */
  async submit(
    kind: string,
    subject: Subject,
    input: unknown,
    begin: (tx: Store) => Promise<boolean>,
    { patienceMs = Infinity, begun }: SubmitOptions = {},
  ): Promise<void> {
    const definition = this.#definition(kind);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const change = async (): Promise<void> => {
      this.#stopping.signal.throwIfAborted();
      const row = await this.#begin(definition, subject, input, begin, patienceMs);
      this.#options.crashPoint?.(`${kind}:begun`);
      begun?.();
      if (row === undefined) return;
      try {
        await this.#leases.hold(row.id, (lost) => this.#runner.execute({ definition, row, lost }, reject));
      } catch (error) {
        if (!(error instanceof LeaseLost)) throw error;
        await this.#outcome(row);
      }
    };
    this.#track(this.#locks.hold(keyOf(subject), change, patienceMs, subject.kind)).then(resolve, reject);
    return promise;
  }

  /** True while an operation of this server on the subject is under way or waits. */
  busy(subject: Subject): boolean {
    return this.#locks.held(keyOf(subject));
  }

  /** Does something while no operation on the subject is under way. @throws ApiError `conflict` when its turn does not come. */
  between<T>(subject: Subject, patienceMs: number, work: () => Promise<T>): Promise<T> {
    const alone = async (): Promise<T> => {
      const { store } = this.#options;
      await this.#othersEnded(subject, patienceMs, () =>
        operationOfAnother(store, subject, this.#leases.owner),
      );
      return work();
    };
    return this.#track(this.#locks.hold(keyOf(subject), alone, patienceMs, subject.kind));
  }

  /** Makes the operation of this server on a subject be undone, if its kind can be. */
  cancel(subject: Subject, reason: ApiError): void {
    this.#runner.cancel(subject, reason);
  }

  /**
   * Takes up the operations that a crash cut off, and from now on those of other servers whose lease is over; they go on
   * in the background. Returns the number of those that are taken up now.
   */
  async recover(): Promise<number> {
    if (this.#options.alone !== true)
      this.#sweeping ??= setInterval(() => {
        this.#takeUpLeft().catch((error: unknown) => {
          this.#options.log.warn({ err: error }, 'operations of other servers not looked for');
        });
      }, this.#leaseMs / 2).unref();
    return this.#takeUpLeft();
  }

  /** Ends the waits between attempts, e.g. because the worker is back. */
  retryNow(): void {
    this.#pacer.wake();
  }

  /** Stops where it is; what is unfinished is taken up at the next start. */
  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    this.#stopping.abort(new ApiError('shutting_down', 'the server is stopping'));
    await Promise.allSettled(this.#running);
    await this.#leases.close();
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const forget = (): void => void this.#running.delete(work);
    work.then(forget, forget);
    return work;
  }

  get #leaseMs(): number {
    return this.#options.leaseMs ?? defaultLeaseMs;
  }

  /** Writes the intent once no other server works on the subject; undefined when there is nothing to do. */
  async #begin(
    definition: Definition,
    subject: Subject,
    input: unknown,
    begin: (tx: Store) => Promise<boolean>,
    patienceMs: number,
  ): Promise<OperationRow | undefined> {
    let row: OperationRow | undefined;
    await this.#othersEnded(subject, patienceMs, async () => {
      try {
        return await transact(this.#options.store, async (tx) => {
          // A database may do the work of a transaction anew.
          row = undefined;
          const other = await operationOfAnother(tx, subject, this.#leases.owner);
          if (other !== undefined || !(await begin(tx))) return other;
          row = this.#newRow(definition, subject, input);
          await insertOperation(tx, row);
          return undefined;
        });
      } catch (error) {
        if (!(error instanceof OutcomeUnknown) || row === undefined) throw error;
        if (!(await this.#runner.whetherWritten(row, operationWasWritten))) throw error;
        return undefined;
      }
    });
    return row;
  }

  /** Calls `find` until it finds no operation of another server; one that is left to nobody is run to its end here. */
  async #othersEnded(
    subject: Subject,
    patienceMs: number,
    find: () => Promise<OperationRow | undefined>,
  ): Promise<void> {
    const end = performance.now() + patienceMs;
    for (let other = await find(); other !== undefined; other = await find()) {
      if (await this.#takeUp(other)) continue;
      if (performance.now() > end) throw tooLong(subject.kind, patienceMs);
      await this.#look();
    }
  }

  /** Waits a moment before the next look at what another server does. @throws `shutting_down` */
  async #look(): Promise<void> {
    await delay(Math.min(lookMs, this.#leaseMs / 4));
    this.#stopping.signal.throwIfAborted();
  }

  /** Takes up what other servers have left, each once its subject is free. Returns the number. */
  async #takeUpLeft(): Promise<number> {
    const { owner } = this.#leases;
    const { alone } = this.#options;
    const now = Date.now();
    const rows = await unfinishedOperations(this.#options.store);
    const left = rows.filter(
      (row) => row.owner !== owner && (alone || row.owned_until < now) && !this.#takingUp.has(row.id),
    );
    for (const row of left) {
      this.#takingUp.add(row.id);
      const taken = this.#locks.hold(keyOf(subjectOf(row)), () => this.#takeUp(row));
      this.#track(taken.finally(() => this.#takingUp.delete(row.id))).catch((error: unknown) =>
        this.#noteFailure(row, error),
      );
    }
    return left.length;
  }

  /** Runs an operation to its end whose server has left it. @returns false when it has ended, or belongs to another */
  async #takeUp({ id }: OperationRow): Promise<boolean> {
    const { store, alone = false } = this.#options;
    const claim = { owner: this.#leases.owner, until: this.#leases.until(), respectLease: !alone };
    const row = await claimOperation(store, id, claim);
    if (row === undefined) return false;
    try {
      await this.#leases.hold(id, (lost) =>
        this.#runner.resume({ definition: this.#definition(row.kind), row, lost }),
      );
    } catch (error) {
      this.#noteFailure(row, error);
    }
    return true;
  }

  #noteFailure({ id, kind }: OperationRow, error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    this.#options.log.error({ err: error, operation: id, kind }, 'recovery failed');
  }

  /** Waits for the end of an operation that another server has taken over. @throws what made it be undone */
  async #outcome({ id }: OperationRow): Promise<void> {
    for (;;) {
      const row = await findOperation(this.#options.store, id);
      if (row?.state === 'done') return;
      if (row === undefined) throw new ApiError('conflict', 'another server took it over and took it back');
      if (row.state === 'undone') throw errorOf(row);
      await this.#look();
    }
  }

  #definition(kind: string): Definition {
    const definition = this.#definitions.get(kind);
    if (definition === undefined) throw new Error(`no operation of kind ${kind} is registered`);
    return definition;
  }

  #newRow(definition: Definition, subject: Subject, input: unknown): OperationRow {
    const now = Date.now();
    return {
      id: randomUUID(),
      kind: definition.kind,
      subject_kind: subject.kind,
      subject_id: subject.id,
      input: JSON.stringify(input),
      state: 'running',
      step: 0,
      attempts: 0,
      error: null,
      created_at: now,
      updated_at: now,
      deadline_at: definition.deadlineMs === Infinity ? Number.MAX_SAFE_INTEGER : now + definition.deadlineMs,
      owner: this.#leases.owner,
      owned_until: this.#leases.until(),
    };
  }
}
