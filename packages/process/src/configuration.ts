import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { type Reader, type Setting, settings } from './settings.ts';

type Settings = typeof settings;
type ValueOf<S extends Setting> = S extends { readonly absent: string }
  ? z.output<S['schema']> | undefined
  : z.output<S['schema']>;

/** The settings that one process reads, by the name of the variable. */
export type SettingsOf<Who extends Reader> = {
  readonly [Name in keyof Settings as Who extends Settings[Name]['readers'][number] ? Name : never]: ValueOf<
    Settings[Name]
  >;
};

export type Environment = Readonly<Record<string, string | undefined>>;

/** Names of the variables that a process reads. */
export function settingNames(who: Reader): string[] {
  return Object.entries<Setting>(settings).flatMap(([name, { readers }]) =>
    readers.includes(who) ? [name] : [],
  );
}

/**
 * Reads the settings of a process from environment variables. An empty variable counts as absent.
 * @param names of the settings to read; default: all that the process reads
 * @throws Error that names each variable that is wrong, and says what would be right
 */
export function readSettings<Who extends Reader, Name extends keyof SettingsOf<Who> = keyof SettingsOf<Who>>(
  who: Who,
  environment: Environment,
  names?: readonly Name[],
): Pick<SettingsOf<Who>, Name> {
  const wrong: string[] = [];
  const values: Record<string, unknown> = {};
  const table: Readonly<Record<string, Setting>> = settings;
  for (const name of (names as readonly string[] | undefined) ?? settingNames(who)) {
    const setting = table[name];
    if (setting === undefined) throw new Error(`${name} is not a setting`);
    const value = environment[name] || ('default' in setting ? setting.default : undefined);
    if (value === undefined) {
      if ('required' in setting) wrong.push(`${name}: is missing; the launcher sets it (npm start)`);
      continue;
    }
    const parsed = setting.schema.safeParse(value);
    if (parsed.success) values[name] = parsed.data;
    else wrong.push(`${name}: ${parsed.error.issues[0]?.message ?? 'cannot be'}`);
  }
  if (wrong.length > 0) throw new Error(`configuration: ${wrong.join('; ')}`);
  return values as Pick<SettingsOf<Who>, Name>;
}

/** The data directory: the setting, else the default for root or for another user. */
export function dataDirectory({
  OPENCOMPUTER_DATA_DIR: given,
}: {
  readonly OPENCOMPUTER_DATA_DIR?: string | undefined;
}): string {
  const fallback =
    process.getuid?.() === 0 ? '/var/lib/opencomputer' : join(homedir(), '.local/share/opencomputer');
  return resolve(given || fallback);
}

/** The directory for files that can be made again: the setting, else `cache` in the data directory. */
export function cacheDirectory(given: {
  readonly OPENCOMPUTER_DATA_DIR?: string | undefined;
  readonly OPENCOMPUTER_CACHE_DIR?: string | undefined;
}): string {
  return resolve(given.OPENCOMPUTER_CACHE_DIR || join(dataDirectory(given), 'cache'));
}

/** The socket on which the worker serves the server. */
export function workerSocket(given: {
  readonly OPENCOMPUTER_DATA_DIR?: string | undefined;
  readonly OPENCOMPUTER_WORKER_SOCKET?: string | undefined;
}): string {
  return resolve(given.OPENCOMPUTER_WORKER_SOCKET ?? join(dataDirectory(given), 'worker/worker.sock'));
}
