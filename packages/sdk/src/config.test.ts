import { afterEach, describe, expect, test, vi } from 'vitest';
import { resolveConnection } from './config.ts';
import { InvalidRequestError } from './errors.ts';

afterEach(() => vi.unstubAllEnvs());

describe('apiUrl', () => {
  test.each([
    ['http://host:1', 'http://host:1/api'],
    ['http://host:1/', 'http://host:1/api'],
    ['http://host:1/api', 'http://host:1/api'],
    ['http://host:1/api//', 'http://host:1/api'],
    ['https://host/prefix', 'https://host/prefix/api'],
  ])('%s means %s', (apiUrl, expected) => {
    expect(resolveConnection({ apiUrl }).apiUrl).toBe(expected);
  });

  test('comes from the option, then the environment, then the default', () => {
    vi.stubEnv('OPENCOMPUTER_API_URL', undefined);
    expect(resolveConnection({}).apiUrl).toBe('http://127.0.0.1:8080/api');
    vi.stubEnv('OPENCOMPUTER_API_URL', '');
    expect(resolveConnection({}).apiUrl).toBe('http://127.0.0.1:8080/api');
    vi.stubEnv('OPENCOMPUTER_API_URL', 'http://env:1');
    expect(resolveConnection({}).apiUrl).toBe('http://env:1/api');
    expect(resolveConnection({ apiUrl: 'http://option:1' }).apiUrl).toBe('http://option:1/api');
  });

  test.each(['', 'host:8080', 'ftp://host', 'http://user:pw@host', 'http://host/?a=1', 'http://host/#a'])(
    'refuses %j and says what would be right',
    (apiUrl) => {
      expect(() => resolveConnection({ apiUrl })).toThrow(InvalidRequestError);
      expect(() => resolveConnection({ apiUrl })).toThrow(/Give /);
    },
  );
});

describe('apiKey', () => {
  test('comes from the option, then the environment, else is empty', () => {
    vi.stubEnv('OPENCOMPUTER_API_KEY', undefined);
    expect(resolveConnection({}).apiKey).toBe('');
    vi.stubEnv('OPENCOMPUTER_API_KEY', 'osb_env\n');
    expect(resolveConnection({}).apiKey).toBe('osb_env');
    expect(resolveConnection({ apiKey: 'osb_option' }).apiKey).toBe('osb_option');
  });

  test('is not repeated when it cannot be a header', () => {
    expect(() => resolveConnection({ apiKey: 'osb_secret\u00e9' })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') }),
    );
  });
});
