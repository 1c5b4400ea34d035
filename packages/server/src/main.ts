import { setFlagsFromString } from 'node:v8';
import { answerHeartbeats } from '@opencomputer/process/heartbeat';
import { loadConfig } from './config.ts';
import { announceKey } from './announce.ts';
import { startServer } from './server.ts';

// What is on its way through is in short-lived buffers outside the heap, which V8 collects with its young objects only
// after 128 MB of them, and so never: at 64 MB it goes through the whole heap. Now it does after 8 MB, which takes less
// processor time and less memory. Node prints a line should it not know the flag any more.
setFlagsFromString('--scavenger-max-new-space-capacity-mb=2');

answerHeartbeats();

try {
  const server = await startServer(loadConfig(process.env));
  if (server.newKey !== undefined) announceKey(server.newKey);
  // At once: what is under way is taken up by whoever has the database now, or by this one when it starts again.
  server.lost.catch((error: unknown) => {
    console.error(`ended, since another server may use the database: ${String(error)}`);
    process.exit(1);
  });
  const stop = (): void => {
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(`stopped with an error: ${String(error)}`);
        process.exit(1);
      },
    );
  };
  // Each as often as it comes: without a listener, a second signal would end it in the middle of this.
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // Under a launcher: do not outlive it, or its successor finds the port taken.
  process.on('disconnect', stop);
  process.send?.('ready');
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  // The channel of the launcher would keep it running.
  process.exit(1);
}
