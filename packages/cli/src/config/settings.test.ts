import { expect, test } from 'vitest';
import { keyPrefix, resolveSettings } from './settings.ts';

const file = { api_url: 'http://file', api_key: 'osb_file' };
const env = { OPENCOMPUTER_API_URL: 'http://env', OPENCOMPUTER_API_KEY: 'osb_env' };
const flags = { apiUrl: 'http://flag', apiKey: 'osb_flag' };

test('flags win over the environment, that over the file, that over the default', () => {
  expect(resolveSettings(flags, env, file)).toEqual({
    apiUrl: { value: 'http://flag', source: 'flag' },
    apiKey: { value: 'osb_flag', source: 'flag' },
  });
  expect(resolveSettings({}, env, file).apiKey).toEqual({ value: 'osb_env', source: 'environment' });
  expect(resolveSettings({}, {}, file).apiUrl).toEqual({ value: 'http://file', source: 'file' });
  expect(resolveSettings({}, {}, {})).toEqual({
    apiUrl: { value: 'http://127.0.0.1:8080', source: 'default' },
    apiKey: { value: '', source: 'default' },
  });
});

test('empty ones count as absent', () => {
  const empty = { OPENCOMPUTER_API_URL: '', OPENCOMPUTER_API_KEY: ' ' };
  expect(resolveSettings({ apiUrl: '' }, empty, file).apiUrl.source).toBe('file');
  expect(resolveSettings({}, empty, file).apiKey.source).toBe('file');
});

test('of a key only the beginning is shown', () => {
  expect(keyPrefix(`osb_${'a'.repeat(64)}`)).toBe('osb_aaaa…');
  expect(keyPrefix('')).toBe('');
  expect(keyPrefix('short')).toBe('…');
});
