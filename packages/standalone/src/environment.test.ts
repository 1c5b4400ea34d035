import { settingNames } from '@opencomputer/process/configuration';
import { expect, test } from 'vitest';
import { environmentOf } from './environment.ts';

test('a part gets its own settings and little else', () => {
  const environment = {
    OPENCOMPUTER_API_KEY: 'osb_secret',
    OPENCOMPUTER_ACCEL: 'tcg',
    OPENCOMPUTER_LOG_LEVEL: 'debug',
    AWS_SECRET_ACCESS_KEY: 'x',
    LD_PRELOAD: '/tmp/x.so',
    PATH: '/home/me/node_modules/.bin:/usr/bin',
    https_proxy: 'http://proxy',
    TZ: 'UTC',
  };
  const server = environmentOf('server', environment, { OPENCOMPUTER_DATA_DIR: '/data' });
  const worker = environmentOf('worker', environment, { OPENCOMPUTER_DATA_DIR: '/data' });
  const both = {
    OPENCOMPUTER_DATA_DIR: '/data',
    OPENCOMPUTER_LOG_LEVEL: 'debug',
    https_proxy: 'http://proxy',
    TZ: 'UTC',
  };
  expect(server).toEqual({ ...both, OPENCOMPUTER_API_KEY: 'osb_secret', PATH: server['PATH'] });
  expect(worker).toEqual({ ...both, OPENCOMPUTER_ACCEL: 'tcg', PATH: worker['PATH'] });
});

test.runIf(process.getuid?.() === 0)('what runs as root finds programs of the system only', () => {
  const path = environmentOf('worker', { PATH: '/home/me/node_modules/.bin' }, {})['PATH'] ?? '';
  expect(path.split(':')).toEqual(expect.arrayContaining(['/usr/sbin', '/usr/bin']));
  expect(path.split(':').every((directory) => /^\/(usr\/(local\/)?)?s?bin$/.test(directory))).toBe(true);
});

test.each(['server', 'worker'] as const)('every setting that the %s reads is handed to it', (part) => {
  const given = Object.fromEntries(settingNames(part).map((name) => [name, 'x']));
  expect(environmentOf(part, given, {})).toMatchObject(given);
});
