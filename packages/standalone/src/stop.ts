import { parseArgs } from 'node:util';
import { kill, waitForExit } from '@opencomputer/worker/processes';
import { purgeNetwork } from '@opencomputer/worker/purge-network';
import { launcherFiles, readConfig } from './config.ts';
import { readPidFile } from './pid-file.ts';

const stopMs = 30_000;

/** Stops the platform. With `--purge-network` it also removes everything of the platform from the host's kernel. */
async function stop(): Promise<void> {
  const { values } = parseArgs({ options: { 'purge-network': { type: 'boolean', default: false } } });
  const { dataDir } = readConfig(process.env);
  const running = readPidFile(launcherFiles(dataDir).pid);
  if (running === undefined) process.stdout.write(`opencomputer does not run on ${dataDir}\n`);
  else {
    kill(running, 'SIGTERM');
    if (!(await waitForExit(running, stopMs)))
      throw new Error(`process ${running.pid} did not stop within ${stopMs / 1000} s`);
    process.stdout.write(
      'opencomputer has stopped; sandboxes go on running and are found again at the next start\n',
    );
  }
  if (!values['purge-network']) return;
  const purged = await purgeNetwork(dataDir);
  process.stdout.write(
    purged
      ? 'bridge, firewall rules and namespaces are gone; the next start makes them again\n'
      : 'there is no network to take away\n',
  );
}

try {
  await stop();
} catch (error) {
  process.stderr.write(`opencomputer: ${(error as Error).message}\n`);
  process.exit(1);
}
