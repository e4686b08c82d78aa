import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { COMPILED_MODULES, compiledSources } from './test/compiled-sources.js';

export default defineConfig({
  plugins: [compiledSources()],
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/process/**', 'test/docker/**', 'node_modules/**'],
    globalSetup: ['test/build-once.ts'],
    server: { deps: { external: [COMPILED_MODULES] } },
    // Native addons live in worker threads of the code under test; forked processes keep a crash
    // of one file from taking the others with it.
    pool: 'forks',
    // A process serves one file after the other: what they import is loaded and compiled once.
    isolate: false,
    // Many files wait as long as they compute: two processors have room for two of them.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
