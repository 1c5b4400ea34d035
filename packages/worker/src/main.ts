import { stat } from 'node:fs/promises';
import { inspect } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { answerHeartbeats } from '@opencomputer/process/heartbeat';
import { readConfig } from './config.ts';
import { startWorker } from './assembly.ts';

// Bodies that pass through are in short-lived buffers outside the heap. By default V8 frees these with its young
// objects only after 128 MB, which never happens, since at 64 MB it collects the whole heap. After 8 MB it takes less
// processor time and less memory. Node prints a line if it does not know the flag any more.
setFlagsFromString('--scavenger-max-new-space-capacity-mb=2');

// Needs one of the few threads that all file calls share: when all are blocked, the event loop alone would still
// answer.
answerHeartbeats(() => stat('/'));

try {
  const worker = await startWorker(readConfig(process.env));
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    worker.close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`worker: it could not end in good order: ${inspect(error)}\n`);
        process.exit(1);
      },
    );
  };
  // Stays registered: without a listener, a second signal would end the process in the middle of this.
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // Under a launcher: do not outlive it.
  process.on('disconnect', stop);
  process.send?.('ready');
} catch (error) {
  const { message, hint } = error as Error & { hint?: string };
  process.stderr.write(`worker: ${message}${hint === undefined ? '' : `\n        ${hint}`}\n`);
  process.exit(1);
}
