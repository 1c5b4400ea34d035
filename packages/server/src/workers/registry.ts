import { ApiError, type WorkerInfo } from '@opencomputer/protocol';
import { endsWithin } from '../deadline.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Store } from '../store/tables.ts';
import { allWorkers, noteContact, noteSeen, workerOfCheckpoint, workerOfSandbox } from '../store/workers.ts';
import { WorkerClient } from './client.ts';
import { WorkerLink } from './link.ts';
import { WorkerUnreachable } from './transport.ts';

/** A worker whose id is known. */
export interface Worker {
  readonly id: string;
  readonly client: WorkerClient;
}

/** What workers tell by themselves. */
export interface WorkerHandlers {
  /** A worker is there, for the first time or again. */
  connected(worker: Worker): void;
  /** A machine of a worker has ended unexpectedly. */
  failed(worker: Worker, machineId: string, reason: string): void;
  /** The guest of a machine has restarted by itself. */
  restarted(worker: Worker, machineId: string): void;
}

export interface WorkerRegistryOptions {
  readonly store: Store;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** The sockets of the workers' APIs. */
  readonly addresses: readonly string[];
}

/** Where a worker is. Who it is, it says at every contact; until then it is who was there the last time. */
interface Place {
  readonly address: string;
  readonly client: WorkerClient;
  link: WorkerLink | undefined;
  worker: Worker | undefined;
}

/** The workers of this server. Whoever has the id of a sandbox or checkpoint finds here where its machine or files are. */
export class WorkerRegistry {
  readonly #options: WorkerRegistryOptions;
  readonly #places: readonly Place[];
  readonly #firstKnown = Promise.withResolvers<void>();

  constructor(options: WorkerRegistryOptions) {
    this.#options = options;
    this.#places = options.addresses.map((address) => ({
      address,
      client: new WorkerClient(address, options.metrics),
      link: undefined,
      worker: undefined,
    }));
  }

  /** Reads who was where the last time. */
  async open(): Promise<void> {
    for (const { id, address } of await allWorkers(this.#options.store)) {
      const place = this.#places.find((one) => one.address === address);
      if (place !== undefined) this.#know(place, id);
    }
  }

  /** Connects to all workers, and again whenever a connection breaks. */
  start(handlers: WorkerHandlers): void {
    for (const place of this.#places) {
      const about = (tell: (worker: Worker) => void): void => {
        if (place.worker !== undefined) tell(place.worker);
      };
      place.link = new WorkerLink(
        place.client,
        {
          met: (info) => this.#meet(place, info),
          connected: () => about((worker) => handlers.connected(worker)),
          disconnected: () => {
            const { address, worker } = place;
            this.#options.log.warn({ workerId: worker?.id, address }, 'worker disconnected');
          },
          failed: (id, reason) => about((worker) => handlers.failed(worker, id, reason)),
          restarted: (id) => about((worker) => handlers.restarted(worker, id)),
        },
        this.#options.log,
      );
      place.link.start();
    }
  }

  /** Listens to no worker any more. Calls to them go on until `close`. */
  async disconnect(): Promise<void> {
    await Promise.all(this.#places.flatMap(({ link }) => (link === undefined ? [] : [link.close()])));
  }

  close(): void {
    for (const { client } of this.#places) client.close();
  }

  /** The workers whose id is known, whether or not they are there at the moment. */
  all(): Worker[] {
    return this.#places.flatMap(({ worker }) => (worker === undefined ? [] : [worker]));
  }

  /** The ids of those that are connected. */
  connected(): ReadonlySet<string> {
    return new Set(
      this.#places.flatMap(({ link, worker }) => (link?.connected && worker ? [worker.id] : [])),
    );
  }

  /** Every worker by its id, or its address until that is known, and whether it is connected. */
  status(): { name: string; connected: boolean }[] {
    return this.#places.map(({ address, link, worker }) => ({
      name: worker?.id ?? address,
      connected: link?.connected ?? false,
    }));
  }

  /**
   * Waits until any worker is known, as one is from the first contact on.
   * @param withinMs milliseconds
   * @throws ApiError `worker_unavailable` when none comes in time
   */
  async someKnown(withinMs: number): Promise<void> {
    if (await endsWithin(this.#firstKnown.promise, withinMs)) return;
    throw new WorkerUnreachable('no worker has been reached since this installation was set up', true);
  }

  /** The worker that the machine of a sandbox is on. @throws ApiError `sandbox_not_found`, `worker_unavailable` */
  async ofSandbox(id: string): Promise<WorkerClient> {
    const workerId = await workerOfSandbox(this.#options.store, id);
    if (workerId === undefined) throw new ApiError('sandbox_not_found', `sandbox ${id} not found`);
    return this.#clientOf(workerId);
  }

  /**
   * The worker that the files of a checkpoint are on; undefined where there is no such checkpoint.
   * @throws ApiError `worker_unavailable`
   */
  async ofCheckpoint(id: string): Promise<WorkerClient | undefined> {
    const workerId = await workerOfCheckpoint(this.#options.store, id);
    return workerId === undefined ? undefined : this.#clientOf(workerId);
  }

  /**
   * Makes sure that the last answer which came from the place of a worker was its own, and writes down that it is there.
   * @throws ApiError `worker_unavailable` when another worker is there by now
   */
  async confirm({ id, client }: Worker): Promise<void> {
    const { workerId } = await client.info();
    if (workerId !== id)
      throw new WorkerUnreachable(`worker ${workerId} answers where worker ${id} was`, false);
    await noteSeen(this.#options.store, id);
  }

  #clientOf(workerId: string): WorkerClient {
    const place = this.#places.find(({ worker }) => worker?.id === workerId);
    if (place !== undefined) return place.client;
    const which = workerId === '' ? 'the worker' : `worker ${workerId}`;
    throw new WorkerUnreachable(`${which} has not been reached since this server started`, true);
  }

  /** Takes note of who is in a place. @throws Error when somebody of the same id is connected in another one */
  async #meet(place: Place, info: WorkerInfo): Promise<void> {
    const { workerId: id, capacity } = info;
    const other = this.#places.find((one) => one !== place && one.worker?.id === id);
    if (other?.link?.connected)
      throw new Error(
        `the workers at ${place.address} and ${other.address} both say that they are ${id}: their data directories are copies`,
      );
    const { isNew } = await noteContact(this.#options.store, {
      id,
      address: place.address,
      machines_max: capacity?.machines ?? 0,
      memory_mb_max: capacity?.memoryMB ?? 0,
    });
    const before = place.worker?.id;
    if (before !== undefined && before !== id)
      this.#options.log.error(
        { workerId: id, before, address: place.address },
        'another worker answers here: the sandboxes of the one before wait until its data directory is back; if that is ' +
          'gone for good, write the id of the one before into worker/id of the data directory and restart',
      );
    else if (isNew) this.#options.log.info({ workerId: id, address: place.address }, 'new worker');
    if (other !== undefined) other.worker = undefined;
    this.#know(place, id);
  }

  #know(place: Place, id: string): void {
    if (place.worker?.id !== id) place.worker = { id, client: place.client };
    this.#firstKnown.resolve();
  }
}
