import type { ApiError, ErrorCode } from '@opencomputer/protocol';
import type { Subject } from '../store/operations.ts';
import type { Store } from '../store/tables.ts';

/** What a step works on. */
export interface StepContext<Input> {
  readonly subject: Subject;
  readonly input: Input;
  /** Aborted at the deadline of the attempt, when the operation is cancelled, and when the server stops. */
  readonly signal: AbortSignal;
}

/**
 * One step of an operation. What it does outside the database may be done any number of times with the same outcome,
 * since a crash between the doing and the noting repeats it.
 */
export interface Step<Input, Result> {
  readonly name: string;
  /** Does the work outside the database. */
  run(context: StepContext<Input>): Promise<Result>;
  /** Writes down what was done, in the transaction that also notes the step as finished. */
  commit(tx: Store, context: StepContext<Input>, result: Result): Promise<void>;
  /** Milliseconds that one attempt may take. */
  readonly attemptMs: number;
  readonly undo: Undo<Input>;
}

/** What becomes of the work of a step, finished or not, when its operation is given up. */
export type Undo<Input> =
  /** It is taken back; tried until it succeeds. */
  | ((context: StepContext<Input>) => Promise<void>)
  /**
   * It stays as it is. Where nobody knows how far it came, the comparison with the worker finds out (`reconcile`), or
   * the next start of its subject does what is left (`nextStart`).
   */
  | { readonly settledBy: 'reconcile' | 'nextStart' }
  /** The operation cannot be given up, for this reason: it is tried until it succeeds. */
  | { readonly impossible: string };

/** True for an operation that is undone when it fails; any other is tried until it succeeds. */
export function canBeGivenUp({ steps }: Pick<OperationDefinition<never>, 'steps'>): boolean {
  return steps.every(({ undo }) => !('impossible' in undo));
}

/** A kind of durable operation. */
export interface OperationDefinition<Input = unknown> {
  readonly kind: string;
  readonly steps: readonly Step<Input, unknown>[];
  /** Milliseconds until it is given up and undone; Infinity: it is tried until it succeeds. */
  readonly deadlineMs: number;
  /** Milliseconds for which failures that may pass are tried again; at most the deadline. */
  readonly patienceMs: number;
  /** The code of the error when a step does not end in time. */
  readonly overdue: ErrorCode;
  /** False: it is waited for also by what would end its subject. */
  readonly cancellable: boolean;
  /** What to do at start with one that a crash cut off: go on, or undo it for the given reason. */
  readonly afterCrash: 'resume' | (() => ApiError);
  /** Writes down that it was undone, in the transaction that ends it. */
  undone(tx: Store, subject: Subject, input: Input, error: ApiError): Promise<void>;
}

/** Lets a step be written with its own type of result. */
export function step<Input, Result>(definition: Step<Input, Result>): Step<Input, unknown> {
  return definition;
}
