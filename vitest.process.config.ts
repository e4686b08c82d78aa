import { defineConfig } from 'vitest/config';

/** Tests against real processes; `npm run test:process`. One file at a time: each is a cluster. */
export default defineConfig({
  test: {
    include: ['test/process/**/*.test.ts'],
    globalSetup: ['test/build-once.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
});
