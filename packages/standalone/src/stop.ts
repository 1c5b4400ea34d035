import { kill, waitForExit } from '@opencomputer/worker/processes';
import { launcherFiles, readConfig } from './config.ts';
import { readPidFile } from './pid-file.ts';

const config = readConfig(process.env);
const running = readPidFile(launcherFiles(config.dataDir).pid);
if (running === undefined) {
  process.stdout.write(`opencomputer does not run on ${config.dataDir}\n`);
} else {
  kill(running, 'SIGTERM');
  if (!(await waitForExit(running, 30_000))) {
    process.stderr.write(`opencomputer (process ${running.pid}) did not stop within 30 s\n`);
    process.exit(1);
  }
  process.stdout.write(
    'opencomputer has stopped; sandboxes go on running and are found again at the next start\n',
  );
}
