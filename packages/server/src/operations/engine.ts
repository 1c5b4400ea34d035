import { randomUUID } from 'node:crypto';
import { ApiError } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { insertOperation, unfinishedOperations, updateOperation } from '../store/operations.ts';
import type { OperationRow, Store } from '../store/tables.ts';
import type { OperationDefinition, Step } from './definition.ts';
import { KeyedLock } from './keyed-lock.ts';
import { type Pace, Pacer } from './pacer.ts';
import { transact } from '../store/transaction.ts';

/** Thrown by a crash point of a test: the operation stops where it is and nothing more is written. */
export class SimulatedCrash extends Error {}

export interface EngineOptions {
  readonly store: Store;
  readonly log: Log;
  readonly metrics?: Metrics;
  readonly definitions: readonly OperationDefinition<never>[];
  /** Called at every place where a crash would make a difference. */
  readonly crashPoint?: (point: string) => void;
  readonly pace?: Pace;
  /** Milliseconds that a caller waits for an undo before it is told of the failure. */
  readonly undoWaitMs?: number;
}

export interface SubmitOptions {
  /** Milliseconds that it waits for other changes of the sandbox. */
  readonly patienceMs?: number;
  /** Called once the intent is kept. */
  readonly begun?: (() => void) | undefined;
}

type Definition = OperationDefinition;

/** Runs durable operations, one at a time for each sandbox. */
export class OperationEngine {
  readonly #options: EngineOptions;
  readonly #definitions: Map<string, Definition>;
  readonly #locks = new KeyedLock();
  readonly #cancellers = new Map<string, AbortController>();
  readonly #running = new Set<Promise<unknown>>();
  readonly #stopping = new AbortController();
  readonly #pacer: Pacer;

  constructor(options: EngineOptions) {
    this.#options = options;
    const definitions = options.definitions as unknown as readonly Definition[];
    this.#definitions = new Map(definitions.map((definition) => [definition.kind, definition]));
    this.#pacer = new Pacer(options.pace ?? { first: 100, longest: 15_000 }, this.#stopping.signal);
  }

  /**
   * Starts an operation and waits for its end. `begin` changes rows in the transaction that also writes the intent;
   * when it returns false there is nothing to do.
   * @throws what made it be undone, when it is undone or takes long to undo; `shutting_down` when the server stops;
   *   `conflict` when its turn does not come in time.
   */
  async submit(
    kind: string,
    sandboxId: string,
    input: unknown,
    begin: (tx: Store) => Promise<boolean>,
    { patienceMs = Infinity, begun }: SubmitOptions = {},
  ): Promise<void> {
    const definition = this.#definition(kind);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const change = async (): Promise<void> => {
      this.#stopping.signal.throwIfAborted();
      const row = newRow(definition, sandboxId, input);
      const began = await transact(this.#options.store, async (tx) => {
        if (!(await begin(tx))) return false;
        await insertOperation(tx, row);
        return true;
      });
      this.#crash(`${kind}:begun`);
      begun?.();
      if (began) await this.#execute(definition, row, reject);
    };
    this.#track(this.#locks.hold(sandboxId, change, patienceMs)).then(resolve, reject);
    return promise;
  }

  /** True while an operation on the sandbox is under way or waits. */
  busy(sandboxId: string): boolean {
    return this.#locks.held(sandboxId);
  }

  /** Does something while no operation on the sandbox is under way. @throws ApiError `conflict` when its turn does not come. */
  between<T>(sandboxId: string, patienceMs: number, work: () => Promise<T>): Promise<T> {
    return this.#track(this.#locks.hold(sandboxId, work, patienceMs));
  }

  /** Makes the running operation of a sandbox be undone, if its kind can be. */
  cancel(sandboxId: string, reason: ApiError): void {
    this.#cancellers.get(sandboxId)?.abort(reason);
  }

  /** Takes up the operations that a crash cut off; they go on in the background. Returns their number. */
  async recover(): Promise<number> {
    const rows = await unfinishedOperations(this.#options.store);
    for (const row of rows) {
      const work = this.#locks.hold(row.sandbox_id, () => this.#resume(row));
      this.#track(work).catch((error: unknown) => {
        if (!this.#stopping.signal.aborted)
          this.#options.log.error({ err: error, operation: row.id, kind: row.kind }, 'recovery failed');
      });
    }
    return rows.length;
  }

  /** Ends the waits between attempts, e.g. because the worker is back. */
  retryNow(): void {
    this.#pacer.wake();
  }

  /** Stops where it is; what is unfinished is taken up at the next start. */
  async close(): Promise<void> {
    this.#stopping.abort(new ApiError('shutting_down', 'the server is stopping'));
    await Promise.allSettled(this.#running);
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const forget = (): void => void this.#running.delete(work);
    work.then(forget, forget);
    return work;
  }

  async #resume(row: OperationRow): Promise<void> {
    const definition = this.#definition(row.kind);
    if (row.state === 'undoing')
      return this.#undo(definition, row, ApiError.fromBody(JSON.parse(row.error ?? 'null'), 'internal'));
    if (definition.afterCrash !== 'resume') return this.#undo(definition, row, definition.afterCrash());
    return this.#execute(definition, row, () => undefined);
  }

  /** Runs the steps; `failed` hears of a failure before the undo ends if that takes long. */
  async #execute(definition: Definition, row: OperationRow, failed: (error: unknown) => void): Promise<void> {
    const { metrics } = this.#options;
    const { kind } = definition;
    const cancel = new AbortController();
    const canUndo = definition.steps.every((step) => typeof step.undo === 'function');
    if (canUndo && definition.cancellable) this.#cancellers.set(row.sandbox_id, cancel);
    metrics?.operationsRunning.inc({ kind });
    try {
      for (const [index, step] of definition.steps.entries())
        if (index >= row.step) await this.#attempt(definition, step, row, cancel.signal);
      metrics?.operations.inc({ kind, outcome: 'done' });
    } catch (error) {
      if (!canUndo || error instanceof SimulatedCrash || this.#stopping.signal.aborted) throw error;
      const timer = setTimeout(failed, this.#options.undoWaitMs ?? 5000, error);
      await this.#undo(definition, row, toApiError(error)).finally(() => clearTimeout(timer));
      throw error;
    } finally {
      this.#cancellers.delete(row.sandbox_id);
      metrics?.operationsRunning.dec({ kind });
    }
  }

  /** Tries one step until it succeeds, fails for good, or its time is over. */
  async #attempt(
    definition: Definition,
    step: Step<unknown, unknown>,
    row: OperationRow,
    cancelled: AbortSignal,
  ): Promise<void> {
    const started = performance.now();
    for (let attempts = 1; ; attempts += 1) {
      const timeout = AbortSignal.timeout(
        Math.min(step.attemptMs, Math.max(row.deadline_at - Date.now(), 1)),
      );
      const signal = AbortSignal.any([timeout, cancelled, this.#stopping.signal]);
      const context = { sandboxId: row.sandbox_id, input: JSON.parse(row.input) as unknown, signal };
      this.#crash(`${row.kind}:${step.name}:before`);
      try {
        const result = await step.run(context);
        this.#crash(`${row.kind}:${step.name}:ran`);
        cancelled.throwIfAborted();
        await transact(this.#options.store, async (tx) => {
          await step.commit(tx, context, result);
          const state = row.step + 1 === definition.steps.length ? 'done' : 'running';
          await updateOperation(tx, row.id, { state, step: row.step + 1, attempts });
        });
        row.step += 1;
        this.#crash(`${row.kind}:${step.name}:committed`);
        return;
      } catch (error) {
        if (error instanceof SimulatedCrash) throw error;
        this.#stopping.signal.throwIfAborted();
        cancelled.throwIfAborted();
        const patient = performance.now() - started < definition.patienceMs && Date.now() < row.deadline_at;
        if (definition.deadlineMs !== Infinity && !(patient && mayPass(error)))
          throw timeout.aborted ? overdue(definition, step, error) : error;
        const about = { err: error, kind: row.kind, sandboxId: row.sandbox_id, attempts };
        this.#options.log.warn(about, 'step failed, trying again');
        await this.#pacer.wait(attempts, cancelled);
      }
    }
  }

  async #undo(definition: Definition, row: OperationRow, error: ApiError): Promise<void> {
    const { store } = this.#options;
    const input: unknown = JSON.parse(row.input);
    const stored = JSON.stringify(error.toBody());
    await this.#persist(row, () => updateOperation(store, row.id, { state: 'undoing', error: stored }));
    this.#crash(`${row.kind}:undo:noted`);
    for (const step of definition.steps.slice(0, row.step + 1).toReversed()) {
      const { undo } = step;
      if (typeof undo !== 'function') continue;
      await this.#persist(row, () => {
        const signal = AbortSignal.any([AbortSignal.timeout(step.attemptMs), this.#stopping.signal]);
        return undo({ sandboxId: row.sandbox_id, input, signal });
      });
      this.#crash(`${row.kind}:${step.name}:undone`);
    }
    await this.#persist(row, () =>
      transact(store, async (tx) => {
        await updateOperation(tx, row.id, { state: 'undone' });
        await definition.undone(tx, row.sandbox_id, input, error);
      }),
    );
    this.#crash(`${row.kind}:undo:committed`);
    this.#options.metrics?.operations.inc({ kind: row.kind, outcome: 'undone' });
  }

  /** Tries work that must be done until it is. */
  async #persist(row: OperationRow, work: () => Promise<void>): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      this.#stopping.signal.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        const about = { err: error, kind: row.kind, sandboxId: row.sandbox_id, attempts };
        this.#options.log.warn(about, 'undo failed, trying again');
        await this.#pacer.wait(attempts);
      }
    }
  }

  #crash(point: string): void {
    this.#options.crashPoint?.(point);
  }

  #definition(kind: string): Definition {
    const definition = this.#definitions.get(kind);
    if (definition === undefined) throw new Error(`no operation of kind ${kind} is registered`);
    return definition;
  }
}

function newRow(definition: Definition, sandboxId: string, input: unknown): OperationRow {
  const now = Date.now();
  return {
    id: randomUUID(),
    kind: definition.kind,
    sandbox_id: sandboxId,
    input: JSON.stringify(input),
    state: 'running',
    step: 0,
    attempts: 0,
    error: null,
    created_at: now,
    updated_at: now,
    deadline_at: definition.deadlineMs === Infinity ? Number.MAX_SAFE_INTEGER : now + definition.deadlineMs,
  };
}

function mayPass(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'worker_unavailable';
}

function toApiError(error: unknown): ApiError {
  return error instanceof ApiError
    ? error
    : new ApiError('internal', 'the operation failed', { cause: error });
}

function overdue(definition: Definition, step: Step<unknown, unknown>, cause: unknown): ApiError {
  return new ApiError(definition.overdue, `step "${step.name}" did not end in time`, { cause });
}
