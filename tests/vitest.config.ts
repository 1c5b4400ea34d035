import { defineConfig } from 'vitest/config';

// Real machines on few cores: two files at a time, generous limits, no absolute times in assertions.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/support/shared-platform.ts'],
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 600_000,
  },
});
