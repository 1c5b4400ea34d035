import { ApiError } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { stepWasWritten, type Subject, undoWasWritten, updateOperation } from '../store/operations.ts';
import type { OperationRow, Store } from '../store/tables.ts';
import { OutcomeUnknown, transact } from '../store/transaction.ts';
import { canBeGivenUp, type OperationDefinition, type Step } from './definition.ts';
import { LeaseLost } from './leases.ts';
import type { Pacer } from './pacer.ts';

/** Thrown by a crash point of a test: the operation stops where it is and nothing more is written. */
export class SimulatedCrash extends Error {}

/** An operation that this server runs. */
export interface Run {
  readonly definition: OperationDefinition;
  readonly row: OperationRow;
  /** Aborted when another server has taken it over. */
  readonly lost: AbortSignal;
}

export interface RunnerOptions {
  readonly store: Store;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** Called at every place where a crash would make a difference. */
  readonly crashPoint?: (point: string) => void;
  /** Milliseconds that a caller waits for an undo before it is told of the failure. */
  readonly undoWaitMs?: number;
}

/** Runs the steps of operations, one after the other, and takes them back. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #stopping: AbortSignal;
  readonly #pacer: Pacer;
  readonly #cancellers = new Map<string, AbortController>();

  constructor(options: RunnerOptions, pacer: Pacer, stopping: AbortSignal) {
    this.#options = options;
    this.#pacer = pacer;
    this.#stopping = stopping;
  }

  /** Makes the operation on a subject be undone, if its kind can be. */
  cancel(subject: Subject, reason: ApiError): void {
    this.#cancellers.get(keyOf(subject))?.abort(reason);
  }

  /** Goes on with an operation that was cut off. */
  async resume(run: Run): Promise<void> {
    const { definition, row } = run;
    if (row.state === 'undoing') return this.#undo(run, errorOf(row));
    if (definition.afterCrash !== 'resume') return this.#undo(run, definition.afterCrash());
    return this.execute(run, () => undefined);
  }

  /**
   * Whether the end of a transaction that broke off is in the database all the same; asks until that answers.
   * @param written how to see it
   * @throws `shutting_down`
   */
  async whetherWritten(
    row: OperationRow,
    written: (store: Store, row: OperationRow) => Promise<boolean>,
  ): Promise<boolean> {
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await written(this.#options.store, row);
      } catch (error) {
        const about = { err: error, ...named(row), attempts };
        this.#options.log.warn(about, 'not known whether an operation went on, asking again');
        await this.#pacer.wait(attempts);
      }
    }
  }

  /** Runs the steps; `failed` hears of a failure before the undo ends if that takes long. */
  async execute(run: Run, failed: (error: unknown) => void): Promise<void> {
    const { metrics } = this.#options;
    const { definition, row } = run;
    const key = keyOf(subjectOf(row));
    const { kind } = definition;
    const cancel = new AbortController();
    const canUndo = canBeGivenUp(definition);
    if (canUndo && definition.cancellable) this.#cancellers.set(key, cancel);
    metrics?.operationsRunning.inc({ kind });
    try {
      for (const [index, step] of definition.steps.entries())
        if (index >= row.step) await this.#attempt(run, step, cancel.signal);
      metrics?.operations.inc({ kind, outcome: 'done' });
    } catch (error) {
      if (!canUndo || isEndOfRun(error) || this.#stopping.aborted) throw error;
      const timer = setTimeout(failed, this.#options.undoWaitMs ?? 5000, error);
      await this.#undo(run, toApiError(error)).finally(() => clearTimeout(timer));
      throw error;
    } finally {
      this.#cancellers.delete(key);
      metrics?.operationsRunning.dec({ kind });
    }
  }

  /** Tries one step until it succeeds, fails for good, or its time is over. */
  async #attempt(
    { definition, row, lost }: Run,
    step: Step<unknown, unknown>,
    cancelled: AbortSignal,
  ): Promise<void> {
    const started = performance.now();
    for (let attempts = 1; ; attempts += 1) {
      const timeout = AbortSignal.timeout(
        Math.min(step.attemptMs, Math.max(row.deadline_at - Date.now(), 1)),
      );
      const signal = AbortSignal.any([timeout, cancelled, lost, this.#stopping]);
      const context = { subject: subjectOf(row), input: JSON.parse(row.input) as unknown, signal };
      this.#crash(`${row.kind}:${step.name}:before`);
      try {
        const result = await step.run(context);
        this.#crash(`${row.kind}:${step.name}:ran`);
        cancelled.throwIfAborted();
        await this.#finish(row, stepWasWritten, async (tx) => {
          // First: who has lost the lease does nothing of what else a commit does.
          const state = row.step + 1 === definition.steps.length ? 'done' : 'running';
          await this.#write(tx, row, { state, step: row.step + 1, attempts });
          await step.commit(tx, context, result);
        });
        row.step += 1;
        this.#crash(`${row.kind}:${step.name}:committed`);
        return;
      } catch (error) {
        if (isEndOfRun(error)) throw error;
        this.#stopping.throwIfAborted();
        lost.throwIfAborted();
        cancelled.throwIfAborted();
        const patient = performance.now() - started < definition.patienceMs && Date.now() < row.deadline_at;
        if (definition.deadlineMs !== Infinity && !(patient && mayPass(error)))
          throw timeout.aborted ? overdue(definition, step, error) : error;
        const about = { err: error, ...named(row), attempts };
        this.#options.log.warn(about, 'step failed, trying again');
        await this.#pacer.wait(attempts, AbortSignal.any([cancelled, lost]));
      }
    }
  }

  /** Does work in a transaction. Where nobody hears whether it was committed, the row says so. */
  async #finish(
    row: OperationRow,
    written: (store: Store, row: OperationRow) => Promise<boolean>,
    work: (tx: Store) => Promise<void>,
  ): Promise<void> {
    try {
      await transact(this.#options.store, work);
    } catch (error) {
      if (!(error instanceof OutcomeUnknown)) throw error;
      if (!(await this.whetherWritten(row, written))) throw error;
    }
  }

  async #undo(run: Run, error: ApiError): Promise<void> {
    const { store } = this.#options;
    const { definition, row, lost } = run;
    const subject = subjectOf(row);
    const input: unknown = JSON.parse(row.input);
    const stored = JSON.stringify(error.toBody());
    await this.#persist(run, () => this.#write(store, row, { state: 'undoing', error: stored }));
    this.#crash(`${row.kind}:undo:noted`);
    for (const step of definition.steps.slice(0, row.step + 1).toReversed()) {
      const { undo } = step;
      if (typeof undo !== 'function') continue;
      await this.#persist(run, () => {
        const timeout = AbortSignal.timeout(step.attemptMs);
        const signal = AbortSignal.any([timeout, lost, this.#stopping]);
        return undo({ subject, input, signal });
      });
      this.#crash(`${row.kind}:${step.name}:undone`);
    }
    await this.#persist(run, () =>
      this.#finish(row, undoWasWritten, async (tx) => {
        await this.#write(tx, row, { state: 'undone' });
        await definition.undone(tx, subject, input, error);
      }),
    );
    this.#crash(`${row.kind}:undo:committed`);
    this.#options.metrics?.operations.inc({ kind: row.kind, outcome: 'undone' });
  }

  /** Tries work that must be done until it is. */
  async #persist({ row, lost }: Run, work: () => Promise<void>): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      this.#stopping.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        if (isEndOfRun(error)) throw error;
        lost.throwIfAborted();
        const about = { err: error, ...named(row), attempts };
        this.#options.log.warn(about, 'undo failed, trying again');
        await this.#pacer.wait(attempts, lost);
      }
    }
  }

  /** Changes the row of an operation. @throws LeaseLost when it is another server's by now */
  async #write(
    store: Store,
    row: OperationRow,
    values: Parameters<typeof updateOperation>[2],
  ): Promise<void> {
    if (!(await updateOperation(store, row, values))) throw new LeaseLost(row.id);
  }

  #crash(point: string): void {
    this.#options.crashPoint?.(point);
  }
}

/** Names a subject for locks. */
export const keyOf = ({ kind, id }: Subject): string => `${kind}/${id}`;

export function subjectOf(row: OperationRow): Subject {
  return { kind: row.subject_kind, id: row.subject_id };
}

/** What the log says of an operation. */
function named(row: OperationRow) {
  return { kind: row.kind, [`${row.subject_kind}Id`]: row.subject_id };
}

/** True for what ends the run of an operation here and nothing else of it. */
function isEndOfRun(error: unknown): boolean {
  return error instanceof SimulatedCrash || error instanceof LeaseLost;
}

/** What made an operation be undone. */
export function errorOf(row: OperationRow): ApiError {
  return ApiError.fromBody(JSON.parse(row.error ?? 'null'), 'internal');
}

function mayPass(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'worker_unavailable';
}

function toApiError(error: unknown): ApiError {
  return error instanceof ApiError
    ? error
    : new ApiError('internal', 'the operation failed', { cause: error });
}

function overdue(definition: OperationDefinition, step: Step<unknown, unknown>, cause: unknown): ApiError {
  return new ApiError(definition.overdue, `step "${step.name}" did not end in time`, { cause });
}
