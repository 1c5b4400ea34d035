import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** The metrics of one server. */
export interface Metrics {
  readonly registry: Registry;
  readonly requests: Histogram<'method' | 'route' | 'status'>;
  readonly sandboxes: Gauge<'state'>;
  readonly operations: Counter<'kind' | 'outcome'>;
  readonly operationsRunning: Gauge<'kind'>;
  readonly workerReachable: Gauge<'worker'>;
  readonly unknownMachines: Gauge<'worker'>;
  readonly unknownSnapshots: Gauge<'worker'>;
  readonly workerSeconds: Histogram<'call'>;
}

const secondsBuckets = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180];

/** New metrics, with those of the process (memory, CPU, event-loop lag). */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'opencomputer_server_' });
  return {
    registry,
    requests: new Histogram({
      name: 'opencomputer_http_request_seconds',
      help: 'Time until the answer to a request was complete, by route',
      labelNames: ['method', 'route', 'status'],
      buckets: secondsBuckets,
      registers,
    }),
    sandboxes: new Gauge({
      name: 'opencomputer_sandboxes',
      help: 'Sandboxes by state',
      labelNames: ['state'],
      registers,
    }),
    operations: new Counter({
      name: 'opencomputer_operations_total',
      help: 'Durable operations that ended, by kind and outcome',
      labelNames: ['kind', 'outcome'],
      registers,
    }),
    operationsRunning: new Gauge({
      name: 'opencomputer_operations_running',
      help: 'Durable operations under way, by kind',
      labelNames: ['kind'],
      registers,
    }),
    workerReachable: new Gauge({
      name: 'opencomputer_worker_reachable',
      help: '1 while the event stream of the worker is open',
      labelNames: ['worker'],
      registers,
    }),
    unknownMachines: new Gauge({
      name: 'opencomputer_unknown_machines',
      help: 'Machines of the worker that belong to no sandbox of its own',
      labelNames: ['worker'],
      registers,
    }),
    unknownSnapshots: new Gauge({
      name: 'opencomputer_unknown_snapshots',
      help: 'Snapshots of the worker that belong to no checkpoint of its own',
      labelNames: ['worker'],
      registers,
    }),
    workerSeconds: new Histogram({
      name: 'opencomputer_worker_call_seconds',
      help: 'Time until the worker answered the header, by call',
      labelNames: ['call'],
      buckets: secondsBuckets,
      registers,
    }),
  };
}
