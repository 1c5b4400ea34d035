import path from 'node:path';
import { cacheDirectory, readSettings } from '@opencomputer/process/configuration';

/** The folder of recipes: this one. */
export const recipeDir = import.meta.dirname;

export const repositoryDir = path.join(recipeDir, '../..');

/** The Go sources of the guest agent. */
export const agentDir = path.join(repositoryDir, 'agent');

/** The directory for files that can be made again. */
export function defaultCacheDir(): string {
  return cacheDirectory(readSettings('images', process.env));
}
