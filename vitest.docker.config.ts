import { defineConfig } from 'vitest/config';

/** Tests against containers; `npm run test:docker`. Skipped where no Docker engine answers. */
export default defineConfig({
  test: {
    include: ['test/docker/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 300_000,
    // Building the image compiles the index library.
    hookTimeout: 1_800_000,
  },
});
