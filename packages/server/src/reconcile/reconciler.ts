import type { MachineInfo } from '@opencomputer/protocol';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { changeSandbox, findSandboxes, sandboxesInState } from '../store/sandboxes.ts';
import type { SandboxRow, Store } from '../store/tables.ts';
import type { WorkerClient } from '../workers/client.ts';

const everyMs = 30_000;

export interface ReconcilerOptions {
  readonly store: Store;
  readonly worker: WorkerClient;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told of sandboxes that have ended. */
  readonly ended: (id: string) => void;
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
    const row = await store.transaction().execute(async (tx) => {
      const [current] = await findSandboxes(tx, [id]);
      // One that is being created is watched by its operation.
      if (current?.state !== 'running') return undefined;
      return changeSandbox(tx, id, { action: 'machineLost', actor: 'system', reason });
    });
    if (row === undefined) return;
    log.error({ sandboxId: id, reason }, 'the machine of a sandbox was lost');
    ended(id);
  }

  async #compare(): Promise<void> {
    const { store, worker, log } = this.#options;
    try {
      // In this order: a sandbox that begins to run in between has a machine that the list may lack.
      const running = await sandboxesInState(store, 'running');
      const machines = await worker.listMachines();
      await this.#findLost(running, new Map(machines.map((machine) => [machine.id, machine])));
      await this.#findLeftOver(machines);
    } catch (error) {
      log.warn({ err: error }, 'machines not compared');
    }
  }

  async #findLost(running: readonly SandboxRow[], machines: ReadonlyMap<string, MachineInfo>): Promise<void> {
    for (const { id } of running) {
      const machine = machines.get(id);
      if (machine === undefined) await this.machineLost(id, 'the worker has no machine for it');
      else if (machine.state === 'failed')
        await this.machineLost(id, machine.reason?.slice(0, 1000) ?? 'its machine failed');
    }
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
