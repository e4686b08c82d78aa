import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/process/**', 'test/docker/**', 'node_modules/**'],
    globalSetup: ['test/build-once.ts'],
    // Native addons live in worker threads of the code under test; forked processes keep a crash
    // of one file from taking the others with it.
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
