export { readConfig, type WorkerConfig } from './config.ts';
export { runDoctor } from './host/doctor.ts';
export { startWorker, type RunningWorker } from './worker.ts';
