import { ApiError, errorKinds, type MachineInfo, type MachineSpec } from '@opencomputer/protocol';
import { type OperationDefinition, step } from '../operations/definition.ts';
import { addEvent, changeSandbox, findSandbox } from '../store/sandboxes.ts';
import type { SandboxRow, Store } from '../store/tables.ts';
import type { WorkerClient } from '../workers/client.ts';

/** A new shape is cold-booted once, which takes minutes where the CPU is emulated. */
const deadlineMs = 180_000;
/** How long a worker that cannot be reached is waited for. */
const patienceMs = 30_000;

/** The environment is in the row of the sandbox, so that it is stored once. */
export type CreateInput = Record<string, never>;

function machineSpec(row: SandboxRow): MachineSpec {
  return {
    template: row.template,
    cpuCount: row.cpu_count,
    memoryMB: row.memory_mb,
    diskMB: row.disk_mb,
    hostname: row.id,
    env: JSON.parse(row.envs),
  };
}

/** True when the request itself was refused: then nothing of it remains. Otherwise the sandbox stays, with the reason. */
function wasRefused(error: ApiError): boolean {
  return errorKinds[error.code].status < 500 || error.code === 'no_capacity';
}

/** The reason of a creation that ended because nobody wants it any more. */
export class CreationAbandoned extends ApiError {
  constructor(reason: string) {
    super('creation_failed', reason, { details: { abandoned: true } });
  }
}

async function endUndone(tx: Store, sandboxId: string, error: ApiError): Promise<void> {
  if (wasRefused(error)) {
    await tx.deleteFrom('sandboxes').where('id', '=', sandboxId).execute();
    return;
  }
  const row = await findSandbox(tx, sandboxId);
  if (row === undefined) return;
  const reason = error.message;
  if (error.details['abandoned'] === true && row.state === 'creating') {
    await changeSandbox(tx, sandboxId, { action: 'stop', actor: 'system', reason });
    await changeSandbox(tx, sandboxId, { action: 'stopped', actor: 'system', reason });
    return;
  }
  if (row.state === 'creating')
    await changeSandbox(tx, sandboxId, { action: 'createFailed', actor: 'system', reason });
  else await addEvent(tx, { sandbox_id: sandboxId, kind: 'createFailed', actor: 'system', reason });
}

/** Creates the machine of a sandbox whose row is there in state `creating`. */
export function createOperation(
  store: Store,
  worker: WorkerClient,
  workerId: () => Promise<string>,
): OperationDefinition<CreateInput> {
  return {
    kind: 'create',
    deadlineMs,
    patienceMs,
    afterCrash: () => new CreationAbandoned('its creation was interrupted by a stop of the server'),
    steps: [
      step<CreateInput, { machine: MachineInfo; workerId: string }>({
        name: 'machine',
        attemptMs: deadlineMs,
        run: async ({ sandboxId, signal }) => {
          const row = await findSandbox(store, sandboxId);
          if (row === undefined) throw new ApiError('sandbox_not_found', `sandbox ${sandboxId} not found`);
          const machine = await worker.putMachine(sandboxId, machineSpec(row), {
            signal,
            timeoutMs: deadlineMs,
          });
          return { machine, workerId: await workerId() };
        },
        commit: async (tx, { sandboxId }, { machine, workerId: id }) => {
          await changeSandbox(tx, sandboxId, {
            action: 'created',
            actor: 'client',
            values: {
              started_at: Date.now(),
              worker_id: id,
              emulated: machine.accelerator === 'tcg' ? 1 : 0,
            },
          });
        },
        undo: ({ sandboxId, signal }) => worker.deleteMachine(sandboxId, { signal }),
      }),
    ],
    undone: (tx, sandboxId, _input, error) => endUndone(tx, sandboxId, error),
  };
}
