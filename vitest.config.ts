import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Packages of this repository are taken from their sources, built or not.
  ssr: { resolve: { conditions: ['opencomputer-source', 'node'] } },
  test: {
    include: ['packages/**/*.test.ts', 'images/**/*.test.ts', 'bench/*.test.ts', 'scripts/**/*.test.ts'],
    // Most of a file's time is waiting: for processes, sockets and limits.
    maxWorkers: 6,
    testTimeout: 30_000,
    expect: { poll: { timeout: 15_000 } },
    hookTimeout: 60_000,
  },
});
