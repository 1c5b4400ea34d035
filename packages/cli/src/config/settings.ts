import type { ConfigFile } from './file.ts';

/** Where a value comes from. */
export type Source = 'flag' | 'environment' | 'file' | 'default';

export interface Setting {
  value: string;
  source: Source;
}

/** The address of the platform, and the key to use. */
export interface Settings {
  apiUrl: Setting;
  /** An empty key means none. */
  apiKey: Setting;
}

export const defaultApiUrl = 'http://127.0.0.1:8080';

/** Flags of the command line that decide the settings. */
export interface SettingFlags {
  apiUrl?: string | undefined;
  apiKey?: string | undefined;
}

/**
 * Flags override the environment, which overrides the file, which overrides the defaults. Empty values count as absent.
 */
export function resolveSettings(flags: SettingFlags, env: NodeJS.ProcessEnv, file: ConfigFile): Settings {
  const pick = (
    flag: string | undefined,
    variable: string,
    fromFile: string | undefined,
    fallback: string,
  ): Setting => {
    const candidates: [string | undefined, Source][] = [
      [flag, 'flag'],
      [env[variable], 'environment'],
      [fromFile, 'file'],
    ];
    for (const [text, source] of candidates) {
      const value = text?.trim() ?? '';
      if (value !== '') return { value, source };
    }
    return { value: fallback, source: 'default' };
  };
  return {
    apiUrl: pick(flags.apiUrl, 'OPENCOMPUTER_API_URL', file.api_url, defaultApiUrl),
    apiKey: pick(flags.apiKey, 'OPENCOMPUTER_API_KEY', file.api_key, ''),
  };
}

/** The beginning of a shorter key would reveal too much of it. */
const shortestKey = 32;

/** The part of a key that may be shown. */
export function keyPrefix(key: string): string {
  if (key === '') return '';
  return key.length < shortestKey ? '…' : `${key.slice(0, 8)}…`;
}
