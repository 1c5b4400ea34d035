import { defineConfig } from 'vitest/config';

// For a server that runs already: OPENCOMPUTER_API_URL, OPENCOMPUTER_API_KEY and, for scenarios about tenants,
// OPENCOMPUTER_SECOND_API_KEY name it. The configuration one level up starts a platform by itself.
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['tests/conformance/*.test.ts'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 600_000,
  },
});
