import type { MachineInfo, SnapshotInfo, SnapshotKind } from '@opencomputer/protocol';
import { type OperationDefinition, step } from '../../operations/definition.ts';
import type { PowerParts } from '../../sandboxes/changes/power.ts';
import { noteColdBoot, startValues, withWake } from '../../sandboxes/starts.ts';
import { updateCheckpoint } from '../../store/checkpoints.ts';
import { addEvent } from '../../store/events.ts';
import { updateSandbox } from '../../store/sandboxes.ts';
import type { Store } from '../../store/tables.ts';

const deadlineMs = 300_000;
const patienceMs = 30_000;

export interface CheckpointInput {
  readonly checkpointId: string;
  readonly kind: SnapshotKind;
  /** Absent in operations of older servers. */
  readonly requireQuiesced?: boolean | undefined;
}

interface Taken {
  readonly result: SnapshotInfo;
  readonly woken: MachineInfo | undefined;
}

async function noteTaken(
  tx: Store,
  sandboxId: string,
  checkpointId: string,
  { result, woken }: Taken,
): Promise<void> {
  const row = await updateCheckpoint(tx, checkpointId, {
    state: 'ready',
    size_bytes: result.sizeBytes,
    pause_ms: result.pauseMs,
    quiesced: result.quiesced === undefined ? null : Number(result.quiesced),
  });
  if (woken !== undefined) {
    await updateSandbox(tx, sandboxId, startValues(woken));
    await noteColdBoot(tx, sandboxId, woken);
  }
  // One that is made for a call only is nobody's ancestor.
  if (!row?.name) return;
  await updateSandbox(tx, sandboxId, { base_checkpoint_id: checkpointId });
  await addEvent(tx, { sandbox_id: sandboxId, kind: 'checkpoint', actor: 'client', reason: row.name });
}

/** Takes a checkpoint whose row is there in state `processing`. */
export function checkpointOperation({
  workers,
}: Pick<PowerParts, 'workers'>): OperationDefinition<CheckpointInput> {
  return {
    kind: 'checkpoint',
    deadlineMs,
    patienceMs,
    overdue: 'snapshot_failed',
    // It is promised to the client, who may kill the sandbox right after.
    cancellable: false,
    afterCrash: 'resume',
    steps: [
      step<CheckpointInput, Taken>({
        name: 'snapshot',
        attemptMs: deadlineMs,
        run: async ({ subject: { id: sandboxId }, input, signal }) => {
          const worker = await workers.ofSandbox(sandboxId);
          const options = { signal, timeoutMs: deadlineMs };
          const { kind, requireQuiesced = false } = input;
          const request = { machine: sandboxId, kind, ...(requireQuiesced ? { requireQuiesced } : {}) };
          return withWake(worker, sandboxId, options, () =>
            worker.putSnapshot(input.checkpointId, request, options),
          );
        },
        commit: (tx, { subject: { id: sandboxId }, input }, taken) =>
          noteTaken(tx, sandboxId, input.checkpointId, taken),
        undo: async ({ input, signal }) => {
          const worker = await workers.ofCheckpoint(input.checkpointId);
          await worker?.deleteSnapshot(input.checkpointId, { signal });
        },
      }),
    ],
    undone: async (tx, { id: sandboxId }, { checkpointId }, error) => {
      const reason = error.message.slice(0, 1000);
      await updateCheckpoint(tx, checkpointId, { state: 'failed', error: reason, failed_at: Date.now() });
      await addEvent(tx, { sandbox_id: sandboxId, kind: 'checkpointFailed', actor: 'system', reason });
    },
  };
}
