import { stat } from 'node:fs/promises';
import { inspect } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { answerHeartbeats } from '@opencomputer/process/heartbeat';
import { readConfig } from './config.ts';
import { startWorker } from './assembly.ts';

// What is on its way through is in short-lived buffers outside the heap, which V8 collects with its young objects only
// after 128 MB of them, and so never: at 64 MB it goes through the whole heap. Now it does after 8 MB, which takes less
// processor time and less memory. Node prints a line should it not know the flag any more.
setFlagsFromString('--scavenger-max-new-space-capacity-mb=2');

// Needs one of the few threads that all calls about files share: with all of them blocked the loop would go on alone.
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
  // Each as often as it comes: without a listener, a second signal would end it in the middle of this.
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
