import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { instanceTagOf } from './config.ts';
import { takeWorkerLock } from './lock.ts';
import { openNetwork } from './network/index.ts';
import { findProcesses } from './qemu/process.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Removes what an installation that does not run has in the kernel of its host: bridge, firewall rules, namespaces. The
 * next start makes them again; no file is touched.
 * @returns whether there was a network to remove
 * @throws Error while its worker or a machine runs; the machine would lose its network
 */
export async function purgeNetwork(dataDir: string): Promise<boolean> {
  const stateDir = join(dataDir, 'worker/network');
  if (!existsSync(stateDir)) return false;
  const instanceTag = instanceTagOf(dataDir);
  const lock = await takeWorkerLock(instanceTag, dataDir);
  try {
    const running = [...findProcesses(`opencomputer-${instanceTag}-`).keys()];
    if (running.length > 0)
      throw new Error(
        `sandboxes still run, and would lose their network: ${running.map((name) => name.replace(/\.\d+$/, '')).join(', ')}; ` +
          'hibernate or kill them first',
      );
    const network = await openNetwork({ instanceTag, stateDir, warm: 0, log: quiet });
    await network.sweep([]);
    await network.close({ keep: false });
    return network.mode === 'namespace';
  } finally {
    lock.close();
  }
}
