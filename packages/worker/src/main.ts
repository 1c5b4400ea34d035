import { readConfig } from './config.ts';
import { startWorker } from './worker.ts';

try {
  const worker = await startWorker(readConfig(process.env));
  const stop = (): void => {
    void worker.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // Under a launcher: do not outlive it.
  process.once('disconnect', stop);
} catch (error) {
  const { message, hint } = error as Error & { hint?: string };
  process.stderr.write(`worker: ${message}${hint === undefined ? '' : `\n        ${hint}`}\n`);
  process.exit(1);
}
