import type { MachineInfo, SandboxState } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { IdleClock } from '../sandboxes/idle-clock.ts';
import { noteColdBoot, noteStart, startValues } from '../sandboxes/starts.ts';
import {
  changeSandbox,
  conditionOf,
  findSandbox,
  findSandboxes,
  sandboxesInState,
  updateSandbox,
} from '../store/sandboxes.ts';
import type { SandboxRow, Store } from '../store/tables.ts';
import { transact } from '../store/transaction.ts';
import type { Worker, WorkerRegistry } from '../workers/registry.ts';
import { SharedRun } from './shared-run.ts';
import { compareSnapshots } from './snapshots.ts';

const everyMs = 30_000;

export interface ReconcilerOptions {
  readonly store: Store;
  readonly workers: Pick<WorkerRegistry, 'all' | 'confirm'>;
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

/**
 * Closes the difference between what should run (the database) and what does (the workers). Each worker is compared with
 * its own rows alone: of what another one has it knows nothing, and who does not answer has lost nothing.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** One for each worker, by its id, so that one that is slow holds up no other. */
  readonly #runs = new Map<string, SharedRun>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => void this.run(), everyMs);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([...this.#runs.values()].map((run) => run.ended()));
  }

  /**
   * Compares the workers whose id is known, or the one of this id, once. Calls while that is under way share the next
   * time. A failure is logged, not thrown.
   */
  async run(workerId?: string): Promise<void> {
    const all = this.#options.workers.all();
    const asked = workerId === undefined ? all : all.filter(({ id }) => id === workerId);
    await Promise.all(asked.map(({ id }) => this.#runOf(id).run()));
  }

  #runOf(id: string): SharedRun {
    let run = this.#runs.get(id);
    if (run === undefined) {
      run = new SharedRun(() => this.#compare(id));
      this.#runs.set(id, run);
    }
    return run;
  }

  /** A machine of a worker has ended unexpectedly: its sandbox is in error from now on, if that is on this worker. */
  async machineLost(worker: Worker, id: string, reason: string): Promise<void> {
    const { store, log, ended } = this.#options;
    const row = await transact(store, async (tx) => {
      const current = await findSandbox(tx, id);
      if (current?.worker_id !== worker.id) return undefined;
      // One that is being created is watched by its operation.
      const resting = current.state === 'hibernated' && !this.#options.busy(id);
      if (current.state !== 'running' && !resting) return undefined;
      return changeSandbox(tx, id, { action: 'machineLost', actor: 'system', reason });
    });
    if (row === undefined) return;
    log.error({ sandboxId: id, reason }, 'the machine of a sandbox was lost');
    ended(id);
  }

  /**
   * The guest of a machine of a worker has restarted by itself: its sandbox, if that is on this worker, says so from now on.
   * @param told false: only where the row does not say so yet
   */
  async machineRestarted(worker: Worker, id: string, told = true): Promise<void> {
    const { store, log, between } = this.#options;
    await between(id, async () => {
      const machine = await worker.client.machine(id);
      if (machine.state !== 'running') return;
      const noted = await transact(store, async (tx) => {
        const row = await findSandbox(tx, id);
        if (row?.worker_id !== worker.id || row.state !== 'running') return false;
        if (!told && !differsInStart(row, machine)) return false;
        await updateSandbox(tx, id, startValues(machine));
        await noteColdBoot(tx, id, machine);
        return true;
      });
      if (noted) log.warn({ sandboxId: id, reason: machine.coldBootReason }, 'a guest has restarted');
    });
  }

  async #compare(id: string): Promise<void> {
    const { workers, log } = this.#options;
    const worker = workers.all().find((one) => one.id === id);
    if (worker === undefined) return;
    try {
      await this.#compareWith(worker);
    } catch (error) {
      log.warn({ err: error, workerId: id }, 'machines not compared');
    }
  }

  async #compareWith(worker: Worker): Promise<void> {
    const { store, workers } = this.#options;
    const inState = (state: SandboxState): Promise<SandboxRow[]> => sandboxesInState(store, state, worker.id);
    // In this order: a sandbox that begins to run in between has a machine that the list may lack.
    const resting = [...(await inState('hibernated')), ...(await inState('error'))];
    const rows = [...(await inState('running')), ...resting];
    const machines = await worker.client.listMachines();
    await workers.confirm(worker);
    await this.#findLost(worker, rows, new Map(machines.map((machine) => [machine.id, machine])));
    await this.#findLeftOver(worker, machines);
    await compareSnapshots(this.#options, worker);
  }

  async #findLost(
    worker: Worker,
    rows: readonly SandboxRow[],
    machines: ReadonlyMap<string, MachineInfo>,
  ): Promise<void> {
    for (const row of rows) {
      const { id, state } = row;
      const machine = machines.get(id);
      if (machine?.state === 'running' && state === 'running' && differsInStart(row, machine))
        if (!this.#options.busy(id)) await this.machineRestarted(worker, id, false);
      if (machine?.state === state || (machine === undefined && state === 'error')) continue;
      if (this.#options.busy(id)) continue;
      if (machine === undefined) await this.machineLost(worker, id, 'the worker has no machine for it');
      else if (machine.state === 'failed')
        await this.machineLost(worker, id, machine.reason?.slice(0, 1000) ?? 'its machine failed');
      else await this.#adopt(worker, id);
    }
  }

  /** Makes the row of a sandbox say what its machine is: running or hibernated. */
  async #adopt(worker: Worker, id: string): Promise<void> {
    const { store, log, idle, between } = this.#options;
    const cause = { actor: 'system', reason: 'found so on the worker' } as const;
    await between(id, async () => {
      const row = await findSandbox(store, id);
      const machine = await worker.client.machine(id);
      if (row?.worker_id !== worker.id || machine.state === row.state) return;
      const condition = conditionOf(row);
      const awake = row.state === 'running' && machine.state === 'hibernated';
      const asleep = (condition === 'hibernated' || condition === 'error') && machine.state !== 'failed';
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

  async #findLeftOver(worker: Worker, machines: readonly MachineInfo[]): Promise<void> {
    const { store, log, metrics } = this.#options;
    const ids = machines.map((machine) => machine.id);
    const there = (await findSandboxes(store, ids)).filter((row) => row.worker_id === worker.id);
    const rows = new Map(there.map((row) => [row.id, row]));
    const unknown = ids.filter((id) => !rows.has(id));
    metrics.unknownMachines.set({ worker: worker.id }, unknown.length);
    if (unknown.length > 0)
      log.error(
        { workerId: worker.id, machines: unknown.slice(0, 50), count: unknown.length },
        'machines without a sandbox, left alone',
      );
    for (const machine of machines) {
      const row = rows.get(machine.id);
      if (row === undefined) continue;
      // A sandbox in error that has run keeps its disk until it is deleted.
      const condition = conditionOf(row);
      if (condition !== 'stopped' && condition !== 'neverRan') continue;
      log.warn({ sandboxId: row.id, state: row.state }, 'deleting a machine whose sandbox has ended');
      await worker.client.deleteMachine(row.id);
    }
  }
}

/** Whether a machine has started since in another way than its row says. */
function differsInStart(row: SandboxRow, machine: MachineInfo): boolean {
  const { started_from, cold_boot_reason } = startValues(machine);
  if (row.started_from === null) return false;
  return row.started_from !== started_from || row.cold_boot_reason !== cold_boot_reason;
}
