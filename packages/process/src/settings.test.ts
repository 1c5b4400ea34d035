import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cacheDirectory, dataDirectory, readSettings, settingNames } from './configuration.ts';
import { type Setting, settings } from './settings.ts';

const launched = {
  OPENCOMPUTER_BOOT_IMAGE: '/boot',
  OPENCOMPUTER_ROOTFS_IMAGE: '/rootfs',
  OPENCOMPUTER_JAILER: '/jailer',
};

describe('settings', () => {
  test.each(Object.entries<Setting>(settings))('%s has a default that can be', (_name, setting) => {
    if ('default' in setting) expect(setting.schema.safeParse(setting.default).success).toBe(true);
    expect(setting.readers.length).toBeGreaterThan(0);
  });

  test('mean the same to each process that reads them', () => {
    const environment = { ...launched, OPENCOMPUTER_LOG_LEVEL: 'fatal', OPENCOMPUTER_DATA_DIR: 'data' };
    const server = readSettings('server', environment);
    const worker = readSettings('worker', environment);
    expect(server.OPENCOMPUTER_LOG_LEVEL).toBe('fatal');
    expect(worker.OPENCOMPUTER_LOG_LEVEL).toBe('fatal');
    expect(dataDirectory(server)).toBe(dataDirectory(worker));
    expect(cacheDirectory(readSettings('images', environment))).toBe(cacheDirectory(worker));
  });

  test('that are set to nothing are absent', () => {
    const { OPENCOMPUTER_LISTEN } = readSettings('launcher', { OPENCOMPUTER_LISTEN: '' });
    expect(OPENCOMPUTER_LISTEN).toEqual({ host: '127.0.0.1', port: 8080 });
  });

  test('that are wrong or missing are all named', () => {
    const environment = { ...launched, OPENCOMPUTER_JAILER: '', OPENCOMPUTER_ACCEL: 'xen' };
    expect(() => readSettings('worker', environment)).toThrow(
      /OPENCOMPUTER_ACCEL: .*; OPENCOMPUTER_JAILER: is missing/s,
    );
  });

  test('of others are not read', () => {
    expect(readSettings('worker', { ...launched, OPENCOMPUTER_API_KEY: 'short' })).not.toHaveProperty(
      'OPENCOMPUTER_API_KEY',
    );
    expect(settingNames('worker')).not.toContain('OPENCOMPUTER_API_KEY');
  });

  test.each([
    ['OPENCOMPUTER_MAX_MACHINES', '0'],
    ['OPENCOMPUTER_MAX_MACHINES', '4001'],
    ['OPENCOMPUTER_WARM_NETWORKS', '-1'],
    ['OPENCOMPUTER_MEMORY_OVERCOMMIT', '0'],
    ['OPENCOMPUTER_MEMORY_OVERCOMMIT', 'much'],
    ['OPENCOMPUTER_SOCKET_OWNER', 'nobody'],
  ])('%s=%s is refused by name', (name, value) => {
    expect(() => readSettings('worker', { ...launched, [name]: value })).toThrow(name);
  });

  test('are all that the platform reads', () => {
    const packages = join(import.meta.dirname, '../..');
    const sources = globSync(['{server,worker,standalone}/src/**/*.ts', 'images/*.ts'], {
      cwd: packages,
      exclude: (name) => name.endsWith('.test.ts') || name === 'testing',
    });
    expect(sources.length).toBeGreaterThan(100);
    const names = sources.flatMap((file) =>
      [...readFileSync(join(packages, file), 'utf8').matchAll(/(?:\.|\[')(OPENCOMPUTER_[A-Z_]+)\b/g)].map(
        (match) => match[1] ?? '',
      ),
    );
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => !Object.hasOwn(settings, name))).toEqual([]);
  });
});
