import type { MachineInfo, SandboxAction } from '@opencomputer/protocol';
import { addEvent } from '../store/events.ts';
import { changeSandbox } from '../store/sandboxes.ts';
import type { EventTable, SandboxRow, Store } from '../store/tables.ts';
import type { WorkerClient } from '../workers/client.ts';
import { whileAwake } from './waking.ts';

/** Who asked for a change, and why. */
export interface Cause {
  readonly actor: EventTable['actor'];
  readonly reason?: string | undefined;
}

/** What the row of a sandbox keeps of the start of its machine. */
export function startValues(machine: MachineInfo) {
  return {
    emulated: machine.accelerator === 'tcg' ? 1 : 0,
    started_from: machine.startedFrom,
    cold_boot_reason: machine.coldBootReason?.slice(0, 1000) ?? null,
  };
}

/** Writes down that the machine of a sandbox runs, and that its processes were lost where they should not have been. */
export async function noteStart(
  tx: Store,
  id: string,
  action: SandboxAction,
  cause: Cause,
  machine: MachineInfo,
  values: Partial<Pick<SandboxRow, 'base_checkpoint_id'>> = {},
): Promise<SandboxRow> {
  const row = await changeSandbox(tx, id, {
    action,
    ...cause,
    values: { ...startValues(machine), ...values },
  });
  await noteColdBoot(tx, id, machine);
  return row;
}

export async function noteColdBoot(tx: Store, id: string, machine: MachineInfo): Promise<void> {
  const { coldBootReason } = machine;
  if (coldBootReason === undefined) return;
  const reason = coldBootReason.slice(0, 1000);
  await addEvent(tx, { sandbox_id: id, kind: 'coldBoot', actor: 'system', reason });
}

/** Does something with a machine; one that is found hibernated is woken, and then it is done again. */
export async function withWake<T>(
  worker: WorkerClient,
  id: string,
  options: { signal: AbortSignal; timeoutMs: number },
  work: () => Promise<T>,
): Promise<{ result: T; woken: MachineInfo | undefined }> {
  let woken: MachineInfo | undefined;
  const wake = async (): Promise<void> => {
    woken = await worker.wake(id, options);
  };
  const result = await whileAwake(wake, work);
  return { result, woken };
}
