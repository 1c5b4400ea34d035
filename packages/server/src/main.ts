import { loadConfig } from './config.ts';
import { announceKey } from './announce.ts';
import { startServer } from './server.ts';

try {
  const server = await startServer(loadConfig(process.env));
  if (server.newKey !== undefined) announceKey(server.newKey);
  const stop = (): void => {
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(`stopped with an error: ${String(error)}`);
        process.exit(1);
      },
    );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // Under a launcher: do not outlive it, or its successor finds the port taken.
  process.once('disconnect', stop);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
