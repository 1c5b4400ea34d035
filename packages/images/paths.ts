import { homedir } from 'node:os';
import path from 'node:path';

/** The folder of recipes: this one. */
export const recipeDir = import.meta.dirname;

export const repositoryDir = path.join(recipeDir, '../..');

/** The agent's Go sources. */
export const agentDir = path.join(repositoryDir, 'agent');

/** Where rebuildable files live: `OPENCOMPUTER_CACHE_DIR`, else `cache` in the data directory. */
export function defaultCacheDir(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment['OPENCOMPUTER_CACHE_DIR']) return path.resolve(environment['OPENCOMPUTER_CACHE_DIR']);
  const dataDir =
    environment['OPENCOMPUTER_DATA_DIR'] ??
    (process.getuid?.() === 0 ? '/var/lib/opencomputer' : path.join(homedir(), '.local/share/opencomputer'));
  return path.resolve(dataDir, 'cache');
}
