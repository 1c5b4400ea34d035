import { configDefaults, defineConfig } from 'vitest/config';
import { privateNetworks } from './scripts/test-runners/private-network.ts';
import { testsThatReach } from './scripts/test-runners/reach.ts';

const server = new URL('packages/server/src', import.meta.url).pathname;
const networkTests = 'packages/worker/src/network/**/*.test.ts';

export default defineConfig({
  // Packages of this repository are taken from their sources, built or not.
  ssr: { resolve: { conditions: ['opencomputer-source', 'node'] } },
  test: {
    // Most of a file's time is waiting: for processes, sockets and limits.
    maxWorkers: 6,
    // Only what hangs reaches these: a host with much else to do may take ten times as long as an idle one.
    testTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
    hookTimeout: 180_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['packages/**/*.test.ts', 'bench/*.test.ts', 'scripts/**/*.test.ts'],
          exclude: [...configDefaults.exclude, networkTests],
        },
      },
      // The server's tests once more, with the other database that it takes: those that can see which one it is.
      {
        extends: true,
        test: {
          name: 'postgres',
          include: testsThatReach(server, 'testing/database.ts'),
          globalSetup: ['packages/server/src/testing/postgres-setup.ts'],
        },
      },
      // They set up bridges and firewalls, and what the host has is not theirs.
      { extends: true, test: { name: 'network', include: [networkTests], pool: privateNetworks } },
    ],
  },
});
