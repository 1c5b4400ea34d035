import { defineConfig } from 'vitest/config';

// Real machines on few cores: one file at a time, generous limits, no absolute times in assertions.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/support/shared-platform.ts'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 600_000,
  },
});
