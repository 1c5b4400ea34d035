import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { instanceTagOf } from '../../packages/worker/src/config.ts';
import { openNetwork } from '../../packages/worker/src/network/index.ts';
import { traces } from '../../packages/worker/src/network/testing/traces.ts';
import { machinesBelow } from './processes.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** What an installation has on its host: one entry per object, by sandbox id where there is one. */
export interface Traces {
  processes: string[];
  directories: string[];
  trash: string[];
  /** Network namespaces, the ready ones too. */
  namespaces: string[];
}

/** Looks at the host itself, not at what the platform says about it. */
export function tracesOf(dataDir: string): Traces {
  const prefix = `oc-${instanceTagOf(dataDir)}-`;
  return {
    processes: [...machinesBelow(dataDir).keys()].toSorted(),
    directories: entries(join(dataDir, 'worker/machines')),
    trash: entries(join(dataDir, 'worker/trash')),
    namespaces: entries('/run/netns').filter((name) => name.startsWith(prefix)),
  };
}

/**
 * Takes away the bridge, the rules and every namespace of an installation that has ended.
 * @throws Error when the host's network still shows something of it
 */
export async function removeNetwork(dataDir: string): Promise<void> {
  const stateDir = join(dataDir, 'worker/network');
  if (!existsSync(stateDir)) return;
  const network = await openNetwork({ instanceTag: instanceTagOf(dataDir), stateDir, warm: 0, log: quiet });
  await network.sweep([]);
  await network.close({ keep: false });
  const left = await traces(instanceTagOf(dataDir));
  if (left.length > 0) throw new Error(`the platform left in the host's network: ${left.join(', ')}`);
}

function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).toSorted() : [];
}
