import type { ErrorCode, MachineInfo } from '@opencomputer/protocol';
import { type OperationDefinition, step, type StepContext } from '../../operations/definition.ts';
import { addEvent } from '../../store/events.ts';
import { changeSandbox, findSandbox } from '../../store/sandboxes.ts';
import type { Store } from '../../store/tables.ts';
import type { WorkerRegistry } from '../../workers/registry.ts';
import type { IdleClock } from '../idle-clock.ts';
import type { Patcher } from '../patcher.ts';
import { type Cause, noteStart, withWake } from '../starts.ts';

/** Longest time of one save or start; emulated CPUs boot slowly. */
export const startMs = 180_000;
const deadlineMs = 200_000;
/** How long a worker that cannot be reached is waited for. */
const patienceMs = 30_000;
/** Enough for all patches that a checkpoint may have. */
const patchesMs = 10 * 3600_000;

export interface PowerParts {
  readonly store: Store;
  readonly workers: Pick<WorkerRegistry, 'ofSandbox' | 'ofCheckpoint'>;
  readonly idle: IdleClock;
  readonly patcher: Patcher;
}

/**
 * What changes of power have in common. They have no way back: the worker keeps a machine as it was when one fails,
 * and where nobody knows how it ended, the comparison with the worker finds out.
 */
export function powerOperation<Input extends Cause>(
  kind: string,
  overdue: ErrorCode,
  steps: OperationDefinition<Input>['steps'],
): OperationDefinition<Input> {
  return {
    kind,
    deadlineMs: deadlineMs + (steps.length > 1 ? patchesMs : 0),
    patienceMs,
    overdue,
    cancellable: true,
    afterCrash: 'resume',
    steps,
    undone: async (tx, { id: sandboxId }, _input, error) => {
      if ((await findSandbox(tx, sandboxId)) === undefined) return;
      const reason = error.message.slice(0, 1000);
      await addEvent(tx, { sandbox_id: sandboxId, kind: `${kind}Failed`, actor: 'system', reason });
    },
  };
}

/** A step that ends with a machine that runs. */
export function startStep<Input extends Cause>(
  { idle }: Pick<PowerParts, 'idle'>,
  parts: {
    run: (context: StepContext<Input>) => Promise<MachineInfo>;
    commit: (tx: Store, id: string, input: Input, machine: MachineInfo) => Promise<{ timeout_s: number }>;
  },
) {
  return step<Input, MachineInfo>({
    name: 'machine',
    attemptMs: startMs,
    run: parts.run,
    commit: async (tx, { subject: { id: sandboxId }, input }, machine) => {
      const row = await parts.commit(tx, sandboxId, input, machine);
      idle.watch(sandboxId, row.timeout_s);
    },
    undo: { settledBy: 'reconcile' },
  });
}

/** Saves the memory of a sandbox and ends its machine. */
export function hibernateOperation({ workers, idle }: PowerParts): OperationDefinition<Cause> {
  return powerOperation<Cause>('hibernate', 'snapshot_failed', [
    step<Cause, { sizeBytes: number }>({
      name: 'machine',
      attemptMs: startMs,
      run: async ({ subject: { id: sandboxId }, signal }) => {
        const worker = await workers.ofSandbox(sandboxId);
        return worker.hibernate(sandboxId, { signal, timeoutMs: startMs });
      },
      commit: async (tx, { subject: { id: sandboxId }, input }, { sizeBytes }) => {
        await changeSandbox(tx, sandboxId, {
          action: 'hibernate',
          ...input,
          values: { hibernation_bytes: sizeBytes },
        });
        idle.forget(sandboxId);
      },
      undo: { settledBy: 'reconcile' },
    }),
  ]);
}

/** Runs the patches that a sandbox has not run; what fails in them stops nothing else. */
export function patchStep<Input>({ patcher }: Pick<PowerParts, 'patcher'>) {
  return step<Input, void>({
    name: 'patches',
    attemptMs: patchesMs,
    run: ({ subject: { id: sandboxId }, signal }) => patcher.run(sandboxId, signal),
    commit: () => Promise.resolve(),
    undo: { settledBy: 'nextStart' },
  });
}

/** Wakes a hibernated sandbox, or starts a failed one from its disk. */
export function wakeOperation(parts: PowerParts): OperationDefinition<Cause> {
  const { workers } = parts;
  return powerOperation<Cause>('wake', 'start_failed', [
    startStep<Cause>(parts, {
      run: async ({ subject: { id: sandboxId }, signal }) => {
        const worker = await workers.ofSandbox(sandboxId);
        return worker.wake(sandboxId, { signal, timeoutMs: startMs });
      },
      commit: (tx, id, input, machine) => noteStart(tx, id, 'wake', input, machine),
    }),
    patchStep<Cause>(parts),
  ]);
}

/** Starts a machine anew from its disk. */
function bootOperation(parts: PowerParts, kind: 'reboot' | 'powerCycle'): OperationDefinition<Cause> {
  const { workers } = parts;
  const hard = kind === 'powerCycle';
  return powerOperation<Cause>(kind, 'start_failed', [
    startStep<Cause>(parts, {
      run: async ({ subject: { id: sandboxId }, signal }) => {
        const options = { signal, timeoutMs: startMs };
        const worker = await workers.ofSandbox(sandboxId);
        const reboot = (): Promise<MachineInfo> => worker.reboot(sandboxId, hard, options);
        return (await withWake(worker, sandboxId, options, reboot)).result;
      },
      commit: (tx, id, input, machine) => noteStart(tx, id, kind, input, machine),
    }),
  ]);
}

export const rebootOperation = (parts: PowerParts): OperationDefinition<Cause> =>
  bootOperation(parts, 'reboot');
export const powerCycleOperation = (parts: PowerParts): OperationDefinition<Cause> =>
  bootOperation(parts, 'powerCycle');
