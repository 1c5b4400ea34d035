import type { MachineInfo } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { IdleClock } from '../sandboxes/idle-clock.ts';
import { noteColdBoot, noteStart, startValues } from '../sandboxes/starts.ts';
import { changeSandbox, findSandbox, findSandboxes, sandboxesInState } from '../store/sandboxes.ts';
import type { SandboxRow, Store } from '../store/tables.ts';
import type { WorkerClient } from '../workers/client.ts';
import { compareSnapshots } from './snapshots.ts';
import { transact } from '../store/transaction.ts';

const everyMs = 30_000;

export interface ReconcilerOptions {
  readonly store: Store;
  readonly worker: WorkerClient;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told of sandboxes that have ended. */
  readonly ended: (id: string) => void;
  readonly idle: IdleClock;
  /** Does something while no operation on a sandbox is under way. */
  readonly between: (id: string, work: () => Promise<void>) => Promise<void>;
  /** True while an operation on a sandbox is under way, which knows its machine better. */
  readonly busy: (id: string) => boolean;
}

/** Closes the difference between what should run (the database) and what does (the worker). */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  #current: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => void this.run(), everyMs);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#next;
    await this.#current;
  }

  /** Compares once. Calls while one is under way share the next one. A failure is logged, not thrown. */
  run(): Promise<void> {
    if (this.#current === undefined) {
      this.#current = this.#compare().finally(() => {
        this.#current = undefined;
      });
      return this.#current;
    }
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      return this.run();
    });
    return this.#next;
  }

  /** A machine has ended unexpectedly: its sandbox is in error from now on. */
  async machineLost(id: string, reason: string): Promise<void> {
    const { store, log, ended } = this.#options;
    const row = await transact(store, async (tx) => {
      const [current] = await findSandboxes(tx, [id]);
      // One that is being created is watched by its operation.
      const resting = current?.state === 'hibernated' && !this.#options.busy(id);
      if (current?.state !== 'running' && !resting) return undefined;
      return changeSandbox(tx, id, { action: 'machineLost', actor: 'system', reason });
    });
    if (row === undefined) return;
    log.error({ sandboxId: id, reason }, 'the machine of a sandbox was lost');
    ended(id);
  }

  /**
   * The guest of a machine has restarted by itself: its sandbox says so from now on.
   * @param told false: only where the row does not say so yet
   */
  async machineRestarted(id: string, told = true): Promise<void> {
    const { store, worker, log, between } = this.#options;
    await between(id, async () => {
      const machine = await worker.machine(id);
      if (machine.state !== 'running') return;
      const noted = await transact(store, async (tx) => {
        const row = await findSandbox(tx, id);
        if (row?.state !== 'running' || !(told || differsInStart(row, machine))) return false;
        await tx.updateTable('sandboxes').set(startValues(machine)).where('id', '=', id).execute();
        await noteColdBoot(tx, id, machine);
        return true;
      });
      if (noted) log.warn({ sandboxId: id, reason: machine.coldBootReason }, 'a guest has restarted');
    });
  }

  async #compare(): Promise<void> {
    const { store, worker, log } = this.#options;
    try {
      // In this order: a sandbox that begins to run in between has a machine that the list may lack.
      const resting = [
        ...(await sandboxesInState(store, 'hibernated')),
        ...(await sandboxesInState(store, 'error')),
      ];
      const rows = [...(await sandboxesInState(store, 'running')), ...resting];
      const machines = await worker.listMachines();
      await this.#findLost(rows, new Map(machines.map((machine) => [machine.id, machine])));
      await this.#findLeftOver(machines);
      await compareSnapshots(this.#options);
    } catch (error) {
      log.warn({ err: error }, 'machines not compared');
    }
  }

  async #findLost(rows: readonly SandboxRow[], machines: ReadonlyMap<string, MachineInfo>): Promise<void> {
    for (const row of rows) {
      const { id, state } = row;
      const machine = machines.get(id);
      if (machine?.state === 'running' && state === 'running' && differsInStart(row, machine))
        if (!this.#options.busy(id)) await this.machineRestarted(id, false);
      if (machine?.state === state || (machine === undefined && state === 'error')) continue;
      if (this.#options.busy(id)) continue;
      if (machine === undefined) await this.machineLost(id, 'the worker has no machine for it');
      else if (machine.state === 'failed')
        await this.machineLost(id, machine.reason?.slice(0, 1000) ?? 'its machine failed');
      else await this.#adopt(id);
    }
  }

  /** Makes the row of a sandbox say what its machine is: running or hibernated. */
  async #adopt(id: string): Promise<void> {
    const { store, worker, log, idle, between } = this.#options;
    const cause = { actor: 'system', reason: 'found so on the worker' } as const;
    await between(id, async () => {
      const row = await findSandbox(store, id);
      const machine = await worker.machine(id);
      if (row === undefined || row.started_at === null || machine.state === row.state) return;
      const awake = row.state === 'running' && machine.state === 'hibernated';
      const asleep = (row.state === 'hibernated' || row.state === 'error') && machine.state !== 'failed';
      if (!awake && !asleep) return;
      log.warn(
        { sandboxId: id, row: row.state, machine: machine.state },
        'row and machine differ; row corrected',
      );
      if (machine.state === 'running') {
        await transact(store, (tx) => noteStart(tx, id, 'wake', cause, machine));
        idle.watch(id, row.timeout_s);
        return;
      }
      await transact(store, async (tx) => {
        if (row.state === 'error') await changeSandbox(tx, id, { action: 'wake', ...cause });
        const values = { hibernation_bytes: machine.hibernationBytes ?? 0 };
        await changeSandbox(tx, id, { action: 'hibernate', ...cause, values });
      });
      idle.forget(id);
    });
  }

  async #findLeftOver(machines: readonly MachineInfo[]): Promise<void> {
    const { store, worker, log, metrics } = this.#options;
    const ids = machines.map((machine) => machine.id);
    const rows = new Map((await findSandboxes(store, ids)).map((row) => [row.id, row]));
    const unknown = ids.filter((id) => !rows.has(id));
    metrics.unknownMachines.set(unknown.length);
    if (unknown.length > 0)
      log.error(
        { machines: unknown.slice(0, 50), count: unknown.length },
        'machines without a sandbox, left alone',
      );
    for (const machine of machines) {
      const row = rows.get(machine.id);
      if (row === undefined) continue;
      // A sandbox in error that has run keeps its disk until it is deleted.
      const neverRan = row.state === 'error' && row.started_at === null;
      if (row.state !== 'stopped' && !neverRan) continue;
      log.warn({ sandboxId: row.id, state: row.state }, 'deleting a machine whose sandbox has ended');
      await worker.deleteMachine(row.id);
    }
  }
}

/** Whether a machine has started since in another way than its row says. */
function differsInStart(row: SandboxRow, machine: MachineInfo): boolean {
  const { started_from, cold_boot_reason } = startValues(machine);
  if (row.started_from === null) return false;
  return row.started_from !== started_from || row.cold_boot_reason !== cold_boot_reason;
}
