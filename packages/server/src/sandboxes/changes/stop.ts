import { type OperationDefinition, step } from '../../operations/definition.ts';
import { changeSandbox, findSandbox } from '../../store/sandboxes.ts';
import type { EventTable } from '../../store/tables.ts';
import type { PowerParts } from './power.ts';

const attemptMs = 60_000;

export interface StopInput {
  readonly actor: EventTable['actor'];
}

/** Deletes the machine and the disk of a sandbox whose row is there in state `stopping`. */
export function stopOperation({ workers }: Pick<PowerParts, 'workers'>): OperationDefinition<StopInput> {
  return {
    kind: 'stop',
    deadlineMs: Infinity,
    patienceMs: Infinity,
    overdue: 'internal',
    cancellable: false,
    afterCrash: 'resume',
    steps: [
      step<StopInput, void>({
        name: 'machine',
        attemptMs,
        run: async ({ subject: { id: sandboxId }, signal }) => {
          const worker = await workers.ofSandbox(sandboxId);
          await worker.deleteMachine(sandboxId, { signal });
        },
        commit: async (tx, { subject: { id: sandboxId }, input }) => {
          if ((await findSandbox(tx, sandboxId)) === undefined) return;
          await changeSandbox(tx, sandboxId, { action: 'stopped', actor: input.actor });
        },
        undo: { impossible: 'a deleted disk does not come back; it is tried until the worker has done it' },
      }),
    ],
    undone: () => Promise.resolve(),
  };
}
