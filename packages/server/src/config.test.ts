import { describe, expect, test } from 'vitest';
import { loadConfig } from './config.ts';

describe('configuration', () => {
  test('has defaults', () => {
    expect(loadConfig({ OPENCOMPUTER_DATA_DIR: '/data' })).toEqual({
      listen: { host: '127.0.0.1', port: 8080 },
      dataDirectory: '/data',
      apiKey: undefined,
      workerSockets: ['/data/worker/worker.sock'],
      maxSandboxes: 100,
      maxHibernated: 1000,
      maxCheckpoints: { full: 10, disk_only: 100 },
      maxCpu: 4,
      maxMemoryMB: 2048,
      publicUrl: undefined,
      agentCommand: 'claude-agent-wrapper',
      sandboxDomain: '',
      region: 'local',
      logLevel: 'info',
      runAs: undefined,
    });
  });

  test('empty variables count as absent', () => {
    expect(loadConfig({ OPENCOMPUTER_LISTEN: '', OPENCOMPUTER_API_KEY: '' }).listen.port).toBe(8080);
  });

  test.each([
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['localhost:65535', { host: 'localhost', port: 65535 }],
  ])('listens on %s', (text, listen) => {
    expect(loadConfig({ OPENCOMPUTER_LISTEN: text }).listen).toEqual(listen);
  });

  test('reads the user to become', () => {
    expect(loadConfig({ OPENCOMPUTER_RUN_AS: '990:991' }).runAs).toEqual({ uid: 990, gid: 991 });
  });

  test.each([
    ['OPENCOMPUTER_LISTEN', '8080'],
    ['OPENCOMPUTER_LISTEN', '127.0.0.1:65536'],
    ['OPENCOMPUTER_LISTEN', '::1:80'],
    ['OPENCOMPUTER_API_KEY', 'short'],
    ['OPENCOMPUTER_API_KEY', 'with a space in the middle'],
    ['OPENCOMPUTER_MAX_SANDBOXES', '0'],
    ['OPENCOMPUTER_MAX_SANDBOXES', '-1'],
    ['OPENCOMPUTER_MAX_SANDBOXES', '1.5'],
    ['OPENCOMPUTER_MAX_SANDBOXES', 'many'],
    ['OPENCOMPUTER_MAX_CHECKPOINTS_FULL', '0'],
    ['OPENCOMPUTER_MAX_CHECKPOINTS_DISK_ONLY', '10001'],
    ['OPENCOMPUTER_MAX_CPU', '65'],
    ['OPENCOMPUTER_MAX_MEMORY_MB', '127'],
    ['OPENCOMPUTER_SANDBOX_DOMAIN', 'http://x'],
    ['OPENCOMPUTER_PUBLIC_URL', 'computers.example'],
    ['OPENCOMPUTER_PUBLIC_URL', 'ftp://computers.example'],
    ['OPENCOMPUTER_PUBLIC_URL', 'https://computers.example/api'],
    ['OPENCOMPUTER_AGENT_COMMAND', 'wrapper --flag'],
    ['OPENCOMPUTER_REGION', 'a b'],
    ['OPENCOMPUTER_LOG_LEVEL', 'loud'],
    ['OPENCOMPUTER_RUN_AS', 'nobody'],
    ['OPENCOMPUTER_RUN_AS', '0:0'],
  ])('%s=%s is refused by name', (name, value) => {
    expect(() => loadConfig({ [name]: value })).toThrow(name);
  });
});
