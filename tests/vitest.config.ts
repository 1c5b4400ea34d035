import { defineConfig } from 'vitest/config';

// Real machines on few cores: two files at a time, and limits that only what hangs reaches.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/support/shared-platform.ts'],
    maxWorkers: 2,
    testTimeout: 450_000,
    hookTimeout: 1_200_000,
  },
});
