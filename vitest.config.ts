import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['packages/**/*.test.ts', 'images/**/*.test.ts', 'bench/*.test.ts', 'scripts/*.test.ts'],
    // Most of a file's time is waiting: for processes, sockets and limits.
    maxWorkers: 6,
    testTimeout: 30_000,
    expect: { poll: { timeout: 15_000 } },
    hookTimeout: 60_000,
  },
});
