import path from 'node:path';
import { cacheDirectory, readSettings } from '@opencomputer/process/configuration';

/** The folder of recipes: this one. */
export const recipeDir = import.meta.dirname;

export const repositoryDir = path.join(recipeDir, '../..');

/** The agent's Go sources. */
export const agentDir = path.join(repositoryDir, 'agent');

/** Where files are that can be made again. */
export function defaultCacheDir(): string {
  return cacheDirectory(readSettings('images', process.env));
}
